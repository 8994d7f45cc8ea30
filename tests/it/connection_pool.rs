//! Connection reuse between requests of components.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicUsize, Ordering::SeqCst},
    },
};

use axum::{Router, routing::get};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    outcomes::outcome,
    peer::{Peer, call, server},
};

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_used_again_by_those_who_opened_them() {
    let connections = Arc::<AtomicUsize>::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let counted = axum::serve::ListenerExt::tap_io(listener, {
        let connections = Arc::clone(&connections);
        move |_| {
            connections.fetch_add(1, SeqCst);
        }
    });
    let routes = Router::new().route("/", get(|| async { "hello" }));
    tokio::spawn(async move { axum::serve(counted, routes).await.unwrap() });
    let server = server(&[format!("127.0.0.1:{port}")], |_| {}).await;
    let get = json!({ "url": format!("http://127.0.0.1:{port}/"), "times": 5 });
    call(&server, get.clone()).await.expect(200);
    call(&server, get.clone()).await.expect(200);
    assert_eq!(connections.load(SeqCst), 1);
    server.post("/v1/agents", json!({ "name": "bob", "provider": "offline", "model": "echo" })).await.expect(201);
    server.accepted("bob", "http").await;
    server.invoke("bob", "http", "get", get).await.expect(200);
    assert_eq!(connections.load(SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_serves_the_rule_that_it_was_opened_under() {
    static PORT: AtomicU16 = AtomicU16::new(0);
    fn here(_: &str) -> Vec<SocketAddr> {
        vec![([127, 0, 0, 1], PORT.load(SeqCst)).into()]
    }
    let peer = Peer::encrypted(Router::new().fallback(|| async { "reached" })).await;
    PORT.store(peer.port, SeqCst);
    let server = server(&[], |config| {
        config.egress.resolver = Some(here);
        config.egress.ca = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/it/tls/authority.pem");
    })
    .await;
    // Public by its name; it may be a private address below one path.
    let accept = json!(["host:api.github.com GET", "host:api.github.com:443/api GET"]);
    let install = json!({ "source": { "bundled": "fetch" }, "accept": accept });
    server.post("/v1/agents/ada/skills/install", install).await.expect(201);
    let fetch = async |path: &str| {
        server.invoke("ada", "fetch", "fetch", json!({ "url": format!("https://api.github.com{path}") })).await
    };
    fetch("/admin").await.error(500, "tool_failed");
    assert_eq!(fetch("/api/x").await.expect(200), "reached");
    let refused = fetch("/admin").await.error(500, "tool_failed");
    assert!(refused.contains("is 127.0.0.1, a loopback address"), "{refused}");
    outcome("a connection of a wider rule, for a narrower one", &refused);
}
