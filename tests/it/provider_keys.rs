//! Key of a provider's service: only the service sees it, not even the component that uses it. The component is
//! untrusted: two requests install it and give it to an agent.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse as _,
    routing::post,
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    cli,
    harness::{Server, test_component},
    peer::Peer,
};

const KEY: &str = "sk-live-Kq8vYw3nT5xZ1sD7Mb2c";

/// Starts a service that reveals the key that it was sent: in its first answer, and then in its errors.
async fn indiscreet() -> (Peer, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let kept = Arc::clone(&seen);
    let answer = async move |headers: HeaderMap| {
        let sent = headers[header::AUTHORIZATION].to_str().unwrap().to_owned();
        let mut seen = kept.lock().unwrap();
        seen.push(sent.clone());
        if seen.len() > 1 {
            let refusal = json!({ "error": { "message": format!("Incorrect API key provided: {sent}") } });
            return (StatusCode::UNAUTHORIZED, axum::Json(refusal)).into_response();
        }
        let piece = |delta, finish| json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] });
        let (first, last) =
            (piece(json!({ "content": format!("You sent {sent}.") }), None), piece(json!({}), Some("stop")));
        let stream = format!("data: {first}\n\ndata: {last}\n\ndata: [DONE]\n\n");
        ([("Content-Type", "text/event-stream"), ("X-Sent", &sent)], stream).into_response()
    };
    (Peer::new(Router::new().route("/v1/chat/completions", post(answer))).await, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_service_is_seen_by_the_service_alone() {
    let (peer, seen) = indiscreet().await;
    let home = TempDir::new().unwrap();
    let (path, log) = (home.path().to_owned(), home.path().join("log"));
    let (mut child, url) = cli::serve_logging(&path, &[], &log);
    let server = Server::elsewhere(url, home);
    server.post("/v1/vault/secrets", json!({ "name": "spys", "value": KEY })).await.expect(201);
    let component = json!({ "base64": BASE64.encode(fs::read(test_component("spy")).unwrap()) });
    let config = json!({ "base_url": peer.url("/v1"), "models": [{ "id": "large-1" }] });
    let install = json!({ "id": "spy", "component": component, "config": config, "secrets": { "key": "spys" } });
    let installed = server.post("/v1/providers", install).await.expect(201);
    assert_eq!(installed["granted"]["secrets"][0]["mode"], "inject", "{installed}");
    server.post("/v1/agents", json!({ "name": "ada", "provider": "spy", "model": "large-1" })).await.expect(201);

    // Each half alone reveals nothing.
    let (one, other) = KEY.split_at(14);
    let run = server.run("ada", &format!("{one} {other}")).await;
    assert_eq!(run["output"], "You sent Bearer [secret key]. seen: false", "{run}");
    let refused = server.run("ada", "again").await;
    assert_eq!(refused["error"]["code"], "provider_authentication", "{refused}");
    assert!(refused["error"]["message"].as_str().unwrap().contains("[secret key]"), "{refused}");
    assert_eq!(*seen.lock().unwrap(), vec![format!("Bearer {KEY}"); 2]);

    let mut told = String::new();
    for path in ["/v1/agents/ada/history", "/v1/agents/ada/runs", "/v1/audit", "/v1/providers/spy", "/v1/vault/grants"]
    {
        told += &server.get(path).await.expect(200).to_string();
    }
    let events = server.events("after=0").await.until("run.failed").await;
    told.extend(events.iter().map(|event| event.data.to_string()));
    child.kill().unwrap();
    child.wait().unwrap();
    told += &fs::read_to_string(log).unwrap();
    let piece = &KEY[6..22];
    assert!(!told.contains(piece), "{told}");
    for file in ["moxxy.db", "moxxy.db-wal"] {
        let bytes = fs::read(path.join(file)).unwrap_or_default();
        assert!(!bytes.windows(piece.len()).any(|bytes| bytes == piece.as_bytes()), "{file}");
    }
}
