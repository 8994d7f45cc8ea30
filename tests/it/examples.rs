//! Skills that use the network, with a test service under the real service's name.

use std::{
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicU16, Ordering::SeqCst},
};

use axum::{
    Json, Router,
    extract::Query,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse as _,
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    harness::Server,
    peer::{Peer, paste},
};

const TOKEN: &str = "github_pat_11ABCDEFG0123456789";

static PORT: AtomicU16 = AtomicU16::new(0);

fn here(name: &str) -> Vec<SocketAddr> {
    match name {
        "api.github.com" => vec![([127, 0, 0, 1], PORT.load(SeqCst)).into()],
        _ => Vec::new(),
    }
}

#[derive(Deserialize)]
struct Search {
    q: String,
}

/// Returns a service with one private repository.
fn github() -> Router {
    let known = |headers: &HeaderMap| {
        let right = format!("Bearer {TOKEN}");
        headers.get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes() == right.as_bytes())
    };
    let issue = json!({
        "number": 7, "title": "It does not start", "state": "open", "user": { "login": "ada" }, "comments": 2,
        "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z", "labels": [{ "name": "bug" }],
        "html_url": "https://github.com/ada/engine/issues/7", "body": "Nothing moves.",
        "repository_url": "https://api.github.com/repos/ada/engine",
    });
    let search = move |headers: HeaderMap, Query(Search { q }): Query<Search>| async move {
        assert!(q.contains("repo:ada/engine"), "{q}");
        match known(&headers) {
            true => Json(json!({ "total_count": 1, "incomplete_results": false, "items": [issue] })).into_response(),
            false => {
                (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "message": "Validation Failed" }))).into_response()
            }
        }
    };
    let file = move |headers: HeaderMap| async move {
        match known(&headers) {
            // A service that echoes the token does not reveal it.
            true => ([(header::CONTENT_TYPE, "text/plain")], format!("The token is {TOKEN}.")).into_response(),
            false => (StatusCode::NOT_FOUND, Json(json!({ "message": "Not Found" }))).into_response(),
        }
    };
    Router::new().route("/search/issues", get(search)).route("/repos/ada/engine/contents/docs/notes.md", get(file))
}

#[tokio::test(flavor = "multi_thread")]
async fn github_is_read_with_a_token_that_the_skill_never_sees() {
    PORT.store(Peer::encrypted(github()).await.port, SeqCst);
    let server = Server::with(|config| {
        config.egress.resolver = Some(here);
        config.egress.ca = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/it/tls/authority.pem");
    })
    .await;
    server.offline("ada", "echo").await;
    server.install("ada", "github").await;
    let read = async || {
        let arguments = json!({ "repo": "ada/engine", "path": "docs/notes.md" });
        server.invoke("ada", "github", "read_file", arguments).await
    };
    // Each rejection contains the request that resolves it.
    let refused = read().await.error(500, "tool_failed");
    assert!(refused.contains("host:api.github.com GET"), "{refused}");
    paste(&server, &refused).await.expect(200);
    let refused = read().await.error(500, "tool_failed");
    assert!(refused.contains("is 127.0.0.1, a loopback address"), "{refused}");
    paste(&server, &refused).await.expect(200);
    let refused = read().await.error(500, "tool_failed");
    assert!(refused.contains("404") && refused.contains("Not Found"), "{refused}");
    assert!(refused.contains("POST /v1/vault/secrets"), "{refused}");
    server.post("/v1/vault/secrets", json!({ "name": "github", "value": TOKEN })).await.expect(201);
    let refused = read().await.error(500, "tool_failed");
    paste(&server, &refused).await.expect(201);
    assert_eq!(read().await.expect(200), "The token is [secret github].");
    let search = json!({ "query": "start", "repo": "ada/engine" });
    let found: Value = server.invoke("ada", "github", "search_issues", search).await.expect(200);
    assert_eq!((&found["total"], &found["issues"][0]["number"]), (&json!(1), &json!(7)));
    let skill = server.get("/v1/agents/ada/skills/github").await.expect(200);
    assert_eq!(skill["missing"], json!({ "hosts": [], "secrets": [] }));
    assert!(skill["never"].as_array().unwrap().contains(&json!("See the value of a secret")), "{skill}");
}
