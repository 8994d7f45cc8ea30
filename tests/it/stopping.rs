//! Immediate stops: the requests of a run that a service still sees afterwards.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, body::Body, extract::State, routing::get};
use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use serde_json::{Value, json};
use tokio::{sync::Notify, time::timeout};

use crate::{
    harness::{PATIENCE, Server},
    outcomes::outcome,
    peer::Peer,
    privilege_limits::caller,
};

/// Observations of a service about a caller.
#[derive(Default)]
struct Seen {
    last: Mutex<Option<Instant>>,
    first: Notify,
    gone: Notify,
}

/// Records on drop that the answer is not wanted any more.
struct Wanted(Arc<Seen>);

impl Seen {
    fn something(&self) {
        self.now();
        self.first.notify_one();
    }

    fn now(&self) {
        *self.last.lock().unwrap() = Some(Instant::now());
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.now();
        self.0.gone.notify_one();
    }
}

/// Starts a service with an endless answer, one that never comes, and an immediate one.
async fn service() -> (Peer, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let endless = async |State(seen): State<Arc<Seen>>| {
        seen.something();
        let pieces = stream::unfold(Wanted(seen), |wanted| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b"piece\n")), wanted))
        });
        Body::from_stream(pieces)
    };
    let never = async |State(seen): State<Arc<Seen>>| {
        seen.something();
        let _wanted = Wanted(seen);
        std::future::pending::<()>().await;
    };
    let at_once = async |State(seen): State<Arc<Seen>>| seen.something();
    let routes = Router::new()
        .route("/chat", get(endless))
        .route("/never", get(never))
        .route("/at-once", get(at_once))
        .with_state(Arc::clone(&seen));
    (Peer::new(routes).await, seen)
}

/// Starts a run and stops it once the service has seen it. Returns how long after the stop the service last saw
/// it.
async fn stopped(server: &Server, agent: &str, seen: &Seen, closes: bool) -> Duration {
    // Discard the notification of the run before.
    let _stale = seen.first.notified().now_or_never();
    let run = server.start_run(agent, json!({ "task": "go" })).await;
    timeout(PATIENCE, seen.first.notified()).await.unwrap();
    let asked = Instant::now();
    let path = format!("/v1/agents/{agent}/runs/{}/stop", run["run_id"].as_str().unwrap());
    let ended = server.post(&path, json!({ "mode": "now" })).await.expect(200);
    assert_eq!(ended["status"], "cancelled");
    if closes {
        timeout(PATIENCE, seen.gone.notified()).await.expect("the connection is held");
    } else {
        // Requests that arrive now were sent before: once another run has ended, no more follow.
        server.run("echo", "hello").await;
    }
    seen.last.lock().unwrap().unwrap().saturating_duration_since(asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_nothing_leaves_any_more() {
    let (peer, seen) = service().await;
    let private = serde_json::from_value(json!([format!("127.0.0.1:{}", peer.port)])).unwrap();
    let server = Server::with(|config| config.egress.private = private).await;
    server.offline("echo", "echo").await;
    let secret = json!({ "name": "key", "value": "0123456789abcdef" });
    server.post("/v1/vault/secrets", secret).await.expect(201);
    let config = json!({ "base_url": format!("http://127.0.0.1:{}", peer.port) });
    let provider = json!({ "id": "caller", "component": caller(), "config": config, "secrets": { "key": "key" } });
    server.post("/v1/providers", provider).await.expect(201);
    let model = json!({ "name": "model", "provider": "caller", "model": "echo" });
    server.post("/v1/agents", model).await.expect(201);
    let tool = async |agent: &str, arguments: Value| {
        let call = json!({ "name": "http__get", "arguments": arguments });
        server.scripted(agent, json!([{ "tool_calls": [call] }, { "text": "done" }])).await;
        server.accepted(agent, "http").await;
    };
    tool("waits", json!({ "url": peer.url("/never") })).await;
    tool("loops", json!({ "url": peer.url("/at-once"), "times": 10_000_000 })).await;
    for (agent, what, closes) in [
        ("model", "a model's answer that streams in", true),
        ("waits", "a tool's request", true),
        ("loops", "a tool's endless loop of requests", false),
    ] {
        let last = stopped(&server, agent, &seen, closes).await;
        outcome(&format!("stop now, during {what}"), &format!("the service saw it last {} ms after", last.as_millis()));
    }
}
