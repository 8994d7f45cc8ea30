//! Concurrency limit for the completions of a provider.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use axum::{Router, extract::State, routing::post};
use serde_json::{Value, json};
use tokio::sync::{
    Semaphore,
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use crate::{harness::Server, llm::DONE, peer::Peer};

/// Service that sends as many answers as it has permits, and counts its concurrent requests.
#[derive(Clone)]
struct Service {
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    answers: Arc<Semaphore>,
    came: UnboundedSender<()>,
}

impl Service {
    async fn start() -> (Self, Peer, UnboundedReceiver<()>) {
        let (came, coming) = unbounded_channel();
        let service = Self { open: Arc::default(), most: Arc::default(), answers: Arc::new(Semaphore::new(0)), came };
        let answer = async |State(service): State<Self>| {
            service.most.fetch_max(service.open.fetch_add(1, SeqCst) + 1, SeqCst);
            service.came.send(()).unwrap();
            service.answers.acquire().await.unwrap().forget();
            service.open.fetch_sub(1, SeqCst);
            ([("Content-Type", "text/event-stream")], DONE)
        };
        let routes = Router::new().route("/v1/chat/completions", post(answer)).with_state(service.clone());
        (service, Peer::new(routes).await, coming)
    }
}

/// Creates an agent with this limit of concurrent calls to the peer, and starts runs, each in its own session.
async fn runs(server: &Server, peer: &Peer, concurrency: Value, number: usize) -> Vec<String> {
    let config = json!({ "base_url": peer.url("/v1"), "auth": "none", "models": [{ "id": "large-1" }] });
    let install = json!({
        "id": "ada", "component": { "bundled": "openai" }, "config": config, "concurrency": concurrency,
    });
    let installed = server.post("/v1/providers", install).await.expect(201);
    assert_eq!(installed["concurrency"], concurrency);
    server.post("/v1/agents", json!({ "name": "ada", "provider": "ada", "model": "large-1" })).await.expect(201);
    let mut paths = Vec::new();
    for index in 0..number {
        let run = server.start_run("ada", json!({ "task": "go", "session": format!("s{index}") })).await;
        paths.push(format!("/v1/agents/ada/runs/{}", run["run_id"].as_str().unwrap()));
    }
    paths
}

/// Returns the runs that wait for a permit, once there are so many.
async fn waiting(server: &Server, paths: &[String], number: usize) -> Vec<String> {
    loop {
        let mut waiting = Vec::new();
        for path in paths {
            let run = server.get(path).await.expect(200);
            if run["waits_for"] == "ada" {
                // No step has begun that would count towards a limit on time or money.
                assert_eq!((&run["status"], &run["steps"]), (&json!("running"), &json!([])));
                waiting.push(path.clone());
            }
        }
        if waiting.len() == number {
            return waiting;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_makes_so_many_calls_at_once_and_the_others_wait() {
    let server = Server::with(|config| config.runs.concurrent_sessions = 20).await;
    let (service, peer, mut coming) = Service::start().await;
    let paths = runs(&server, &peer, json!(2), 6).await;
    let waits = waiting(&server, &paths, 4).await;
    coming.recv().await.unwrap();
    coming.recv().await.unwrap();
    // A waiting run can be stopped.
    let stopped = server.post(&format!("{}/stop", waits[0]), json!({ "mode": "now" })).await.expect(200);
    assert_eq!(stopped["status"], "cancelled");
    let stopped = server.post(&format!("{}/stop", waits[1]), json!({ "mode": "step" })).await.expect(200);
    let mut told = server.events(&format!("after=0&run_id={}", stopped["run_id"].as_str().unwrap())).await;
    told.until("run.cancelled").await;
    waiting(&server, &paths, 2).await;
    service.answers.add_permits(100);
    let mut told = server.events("after=0&agent_id=ada").await;
    for _ in 0..4 {
        told.until("run.completed").await;
    }
    assert_eq!((service.most.load(SeqCst), peer.asked()), (2, 4));
    waiting(&server, &paths, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_says_how_many_unless_the_provider_does() {
    let server = Server::with(|config| {
        config.runs.concurrent_sessions = 20;
        config.providers.concurrency = 1;
    })
    .await;
    let (service, peer, mut coming) = Service::start().await;
    let paths = runs(&server, &peer, Value::Null, 3).await;
    waiting(&server, &paths, 2).await;
    coming.recv().await.unwrap();
    for wrong in [json!(0), json!(1001)] {
        server.patch("/v1/providers/ada", json!({ "concurrency": wrong })).await.error(400, "invalid_input");
    }
    let changed = server.patch("/v1/providers/ada", json!({ "concurrency": 3 })).await.expect(200);
    assert_eq!(changed["concurrency"], 3);
    // Waiting runs get the new permits at once.
    coming.recv().await.unwrap();
    coming.recv().await.unwrap();
    service.answers.add_permits(100);
    let mut told = server.events("after=0&agent_id=ada").await;
    for _ in 0..3 {
        told.until("run.completed").await;
    }
    assert_eq!(service.most.load(SeqCst), 3);
    let changed = server.patch("/v1/providers/ada", json!({ "concurrency": null })).await.expect(200);
    assert_eq!(changed["concurrency"], Value::Null);
}

/// Returns the outputs of the agent's runs, of which one waited, when they have ended.
async fn outputs(server: &Server, service: &Service, paths: &[String]) -> Vec<Value> {
    service.answers.add_permits(100);
    let mut told = server.events("after=0&agent_id=ada").await;
    for _ in paths {
        told.until("run.completed").await;
    }
    let mut outputs = Vec::new();
    for path in paths {
        outputs.push(server.get(path).await.expect(200)["output"].clone());
    }
    outputs
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waited_is_made_as_the_provider_is_by_then() {
    let server = Server::with(|config| config.runs.concurrent_sessions = 20).await;
    let (service, peer, mut coming) = Service::start().await;
    let paths = runs(&server, &peer, json!(1), 2).await;
    waiting(&server, &paths, 1).await;
    coming.recv().await.unwrap();
    let (next, other, _coming) = Service::start().await;
    next.answers.add_permits(100);
    let config = json!({ "base_url": other.url("/v1"), "auth": "none", "models": [{ "id": "large-1" }] });
    server.patch("/v1/providers/ada", json!({ "config": config })).await.expect(200);
    assert_eq!(outputs(&server, &service, &paths).await, ["done", "done"]);
    assert_eq!((peer.asked(), other.asked()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_for_a_provider_that_goes_is_carried_on_by_the_agents_new_one() {
    let server = Server::with(|config| config.runs.concurrent_sessions = 20).await;
    let (service, peer, mut coming) = Service::start().await;
    let paths = runs(&server, &peer, json!(1), 2).await;
    waiting(&server, &paths, 1).await;
    coming.recv().await.unwrap();
    server.post("/v1/providers", json!({ "id": "other", "component": { "bundled": "offline" } })).await.expect(201);
    server.patch("/v1/agents/ada", json!({ "provider": "other", "model": "echo" })).await.expect(200);
    server.delete("/v1/providers/ada").await.expect(204);
    let mut outputs = outputs(&server, &service, &paths).await;
    outputs.sort_by_key(ToString::to_string);
    assert_eq!((outputs, peer.asked()), (vec![json!("done"), json!("go")], 1));
}
