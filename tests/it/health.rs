//! `/v1/health`.

use crate::harness::Server;

#[tokio::test]
async fn health_names_the_version_and_the_database() {
    let server = Server::start().await;
    let health = server.get("/v1/health").await.expect(200);
    assert_eq!(health["status"], "ok");
    assert_eq!(health["database"], "ok");
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    server.get("/livez").await.expect(200);
    server.get("/readyz").await.expect(200);
}
