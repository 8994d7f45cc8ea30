//! `/v1/health`.

use std::{fs, os::unix::fs::FileExt as _, path::Path};

use serde_json::json;
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

use crate::harness::{Server, config};

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

/// Returns the answer of `/readyz` when its state of the database is this.
async fn database(server: &Server, state: &str) {
    let health = server.get("/readyz").await;
    assert_eq!((&health.body["status"], &health.body["database"]), (&json!("failing"), &json!(state)));
    assert_eq!(health.status, 503);
    server.get("/livez").await.expect(200);
}

/// Overwrites the first page of a table.
async fn damage(path: &Path, table: &str) {
    let mut db = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    let root = sqlx::query_scalar("SELECT rootpage FROM sqlite_schema WHERE name = ?").bind(table);
    let root: i64 = root.fetch_one(&mut db).await.unwrap();
    let size: i64 = sqlx::query_scalar("PRAGMA page_size").fetch_one(&mut db).await.unwrap();
    db.close().await.unwrap();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&vec![0xa5; usize::try_from(size).unwrap()], ((root - 1) * size).try_into().unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_page_is_reported_and_ends_the_run_that_meets_it() {
    let server = Server::start().await;
    server.scripted("ada", json!([{ "text": "done" }])).await;
    server.run("ada", "go").await;
    let home = server.stop().await;
    let path = config(home.path()).database();
    damage(&path, "messages").await;
    let server = Server::at(home, |_| {}).await;
    server.get("/readyz").await.expect(200);
    let run = server.run("ada", "go").await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("database_damaged")));
    assert!(run["error"]["message"].as_str().unwrap().contains("moxxy restore"), "{run}");
    database(&server, "damaged").await;
    server.get("/v1/agents/ada/history").await.error(503, "database_damaged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_meets_a_damaged_page_makes_the_server_unready() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    server.run("ada", "hello").await;
    let home = server.stop().await;
    let path = config(home.path()).database();
    damage(&path, "sessions").await;
    let server = Server::at(home, |_| {}).await;
    server.get("/v1/agents/ada/sessions").await.error(503, "database_damaged");
    database(&server, "damaged").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_database_is_reported_and_ends_the_runs() {
    let server = Server::start().await;
    let call = json!({ "name": "text__word_count", "arguments": { "text": "a" } });
    let steps = json!([{ "tool_calls": [call], "delay_ms": 1000 }, { "text": "done" }]);
    server.scripted_with("ada", json!({ "steps": steps, "per_task": true }), json!({})).await;
    server.install("ada", "text").await;
    let mut events = server.events("event_type=model.request&event_type=run.failed").await;
    server.start_run("ada", json!({ "task": "go" })).await;
    events.until("model.request").await;
    let path = config(server.home.path()).database();
    let elsewhere = path.with_extension("moved");
    fs::rename(&path, &elsewhere).unwrap();
    database(&server, "missing").await;
    let failed = events.until("run.failed").await.pop().unwrap();
    assert_eq!(failed.data["payload"]["code"], "data_missing");
    let refused = server.post("/v1/agents/ada/runs", json!({ "task": "go" })).await;
    assert!(refused.error(503, "data_missing").contains("moxxy.db"));
    fs::rename(&elsewhere, &path).unwrap();
    server.get("/readyz").await.expect(200);
    assert_eq!(server.run("ada", "go").await["status"], "completed");
}
