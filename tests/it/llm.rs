//! Providers of real services, tested with a mock server from a package registry.

use std::{
    io,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::StatusCode,
    response::IntoResponse,
    routing::{MethodRouter, post},
};
use bytes::Bytes;
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    harness::{PATIENCE, Server, target},
    outcomes::outcome,
    peer, tools,
};

const KEY: &str = "sk-0123456789abcdef";

/// Answers of the peer, by message.
const RULES: &str = r#"
version: 1
defaults:
  fallback: deterministic_echo
rules:
  - name: result
    when: { tool_result_contains: '"words":3' }
    respond: { content: "Three words, and two." }
  - name: calls
    when: { messages_contain: "count them" }
    respond:
      tool_calls:
        - { name: text__word_count, arguments: { text: "a b c" } }
        - { name: text__word_count, arguments: { text: "a b" } }
  - name: plain
    when: { messages_contain: "hello" }
    respond: { content: "Hi there! \u00e4\u4e16 \U0001F600" }
"#;

/// Service with both protocols, which ends with the test.
struct Peer {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Peer {
    /// Starts the service, or returns `None` if it is not installed.
    async fn start() -> Option<Self> {
        let program = target("clients/python/bin/fakellm");
        if !program.is_file() {
            tools::skip("fakellm is not installed: `make clients`");
            return None;
        }
        let folder = TempDir::new().unwrap();
        let rules = folder.path().join("fakellm.yaml");
        std::fs::write(&rules, RULES).unwrap();
        // It cannot choose a free port by itself.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut peer = Command::new(program);
        peer.args(["serve", "--port", &port.to_string(), "--config"]).arg(&rules);
        let child = peer.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(Instant::now() < deadline, "fakellm does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(Self { child, port, _folder: folder })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn agent(server: &Server, peer: &Peer, provider: &str, path: &str) {
    let secret = json!({ "name": format!("{provider}-key"), "value": KEY });
    server.post("/v1/vault/secrets", secret).await.expect(201);
    let config =
        json!({ "base_url": format!("http://127.0.0.1:{}{path}", peer.port), "models": [{ "id": "large-1" }] });
    let install = json!({
        "id": provider, "component": { "bundled": provider }, "config": config,
        "secrets": { "key": format!("{provider}-key") },
    });
    server.post("/v1/providers", install).await.expect(201);
    let agent = json!({ "name": provider, "provider": provider, "model": "large-1" });
    server.post("/v1/agents", agent).await.expect(201);
    server.install(provider, "text").await;
}

async fn converses(provider: &str, path: &str) {
    let Some(peer) = Peer::start().await else { return };
    let server = Server::start().await;
    agent(&server, &peer, provider, path).await;
    let mut events = server.events(&format!("agent_id={provider}")).await;
    let run = server.run(provider, "hello").await;
    assert_eq!(run["output"], "Hi there! ä世 😀", "{run}");
    let told = events.until("run.completed").await;
    let pieces: Vec<_> = told.iter().filter(|event| event.kind == "message.delta").collect();
    let text: String = pieces.iter().map(|event| event.data["payload"]["text"].as_str().unwrap()).collect();
    assert!(pieces.len() > 1 && text == "Hi there! ä世 😀", "{pieces:?}");
    let run = server.run(provider, "count them").await;
    assert_eq!(run["output"], "Three words, and two.", "{run}");
    let detail =
        server.get(&format!("/v1/agents/{provider}/runs/{}", run["run_id"].as_str().unwrap())).await.expect(200);
    let outputs: Vec<&Value> = detail["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|step| step["kind"] == "tool")
        .map(|step| &step["output"]["words"])
        .collect();
    assert_eq!(outputs, [3, 2]);
    // If the peer reports no usage, the reserved tokens count.
    let counted = ["input_tokens", "reserved_tokens"].map(|name| detail["usage"][name].as_u64().unwrap());
    assert!(counted.iter().sum::<u64>() > 0, "{detail}");
    // Nothing that can be read contains the key.
    let history = server.get(&format!("/v1/agents/{provider}/history")).await.expect(200).to_string();
    assert!(!history.contains(KEY) && !detail.to_string().contains(KEY));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wire_of_openai_carries_text_and_parallel_calls() {
    converses("openai", "/v1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wire_of_anthropic_carries_text_and_parallel_calls() {
    converses("anthropic", "").await;
}

/// Answers of a service, in order; the last one repeats.
type Answers = Arc<Mutex<Vec<(StatusCode, &'static str)>>>;

pub(crate) const DONE: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"done\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
const CUT: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"do\"}}]}\n\n";

/// Creates an agent of a service with these answers.
async fn answering(server: &Server, agent: &str, answers: Vec<(StatusCode, &'static str)>) -> peer::Peer {
    let next = async |State(answers): State<Answers>| {
        let mut answers = answers.lock().unwrap();
        let (status, body) = if answers.len() > 1 { answers.remove(0) } else { answers[0] };
        let kind = if status == 200 { "text/event-stream" } else { "application/json" };
        (status, [("Content-Type", kind), ("Retry-After", "0")], body).into_response()
    };
    served(server, agent, post(next).with_state(Arc::new(Mutex::new(answers)))).await
}

/// Creates an agent of a service with this handler.
pub(crate) async fn served(server: &Server, agent: &str, answer: MethodRouter) -> peer::Peer {
    let peer = peer::Peer::new(Router::new().route("/v1/chat/completions", answer)).await;
    let config = json!({ "base_url": peer.url("/v1"), "auth": "none", "models": [{ "id": "large-1" }] });
    let install = json!({ "id": agent, "component": { "bundled": "openai" }, "config": config });
    server.post("/v1/providers", install).await.expect(201);
    server.post("/v1/agents", json!({ "name": agent, "provider": agent, "model": "large-1" })).await.expect(201);
    peer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_passes_is_tried_again() {
    let server = Server::with(|config| config.runs.retries = 2).await;
    let busy = (StatusCode::TOO_MANY_REQUESTS, r#"{"error": {"message": "slow down"}}"#);
    let peer = answering(&server, "ada", vec![busy, busy, (StatusCode::OK, DONE)]).await;
    let run = server.run("ada", "go").await;
    assert_eq!((&run["output"], peer.asked()), (&json!("done"), 3), "{run}");
    let told = "after=0&agent_id=ada&event_type=model.retried&event_type=run.completed";
    let told = server.events(told).await.until("run.completed").await;
    let attempts: Vec<_> = told.iter().map(|event| &event.data["payload"]["attempt"]).collect();
    assert_eq!(attempts, [&json!(1), &json!(2), &Value::Null]);
    assert_eq!(told[0].data["payload"]["reason"], "provider_rate_limited");
    let peer = answering(&server, "bob", vec![busy]).await;
    let run = server.run("bob", "go").await;
    assert_eq!((&run["error"]["code"], peer.asked()), (&json!("provider_rate_limited"), 3), "{run}");
    // What was said before a stream broke off is kept.
    let peer = answering(&server, "eve", vec![(StatusCode::OK, CUT)]).await;
    let run = server.run("eve", "go").await;
    assert_eq!((&run["error"]["code"], peer.asked()), (&json!("provider_unreachable"), 3), "{run}");
    let history = server.get("/v1/agents/eve/history").await.expect(200);
    let partial = |message: &&Value| message["partial"] == "failed";
    assert_eq!(history.as_array().unwrap().iter().filter(partial).count(), 3, "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_trouble_of_a_service_is_named() {
    let server = Server::with(|config| {
        (config.plugins.first_token, config.plugins.between_tokens) = (2000, 1000);
    })
    .await;
    let cases = [
        ("busy", StatusCode::TOO_MANY_REQUESTS, r#"{"error": {"message": "slow down"}}"#, "provider_rate_limited"),
        ("broken", StatusCode::INTERNAL_SERVER_ERROR, "oops", "provider_overloaded"),
        ("closed", StatusCode::UNAUTHORIZED, r#"{"error": {"message": "who?"}}"#, "provider_authentication"),
        ("garbage", StatusCode::OK, "data: {{{\n\n", "provider_unreachable"),
        ("cut", StatusCode::OK, CUT, "provider_unreachable"),
    ];
    let mut expected = Vec::new();
    let mut peers = Vec::new();
    for (agent, status, body, code) in cases {
        peers.push(answering(&server, agent, vec![(status, body)]).await);
        expected.push((agent, code));
    }
    let begun = |rest: BoxStream<'static, io::Result<Bytes>>| {
        let begin = stream::iter([Ok(Bytes::from_static(CUT.as_bytes()))]);
        ([("Content-Type", "text/event-stream")], Body::from_stream(begin.chain(rest)))
    };
    let broken = async move || begun(stream::iter([Err(io::Error::other("the service died"))]).boxed());
    peers.push(served(&server, "dropped", post(broken)).await);
    peers.push(served(&server, "stalled", post(async move || begun(stream::pending().boxed()))).await);
    peers.push(served(&server, "silent", post(std::future::pending::<()>)).await);
    expected.extend([
        ("dropped", "provider_unreachable"),
        ("stalled", "component_limit"),
        ("silent", "component_limit"),
    ]);
    for (agent, code) in expected {
        let run = server.run(agent, "go").await;
        assert_eq!(run["error"]["code"], code, "{agent}: {run}");
        outcome(&format!("a model's service: {agent}"), run["error"]["message"].as_str().unwrap());
    }
}
