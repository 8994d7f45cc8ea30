//! Fair capacity: the next free permit goes to the holder with the fewest.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, routing::get};
use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::{
    harness::Server,
    peer::{self, Peer},
};

/// A service that holds each request to `/slow` until the test releases it.
struct Slow {
    peer: Peer,
    arrived: Arc<AtomicUsize>,
    release: Arc<Semaphore>,
}

impl Slow {
    async fn new() -> Self {
        let (arrived, release) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let (count, gate) = (Arc::clone(&arrived), Arc::clone(&release));
        let slow = get(move || {
            let (count, gate) = (Arc::clone(&count), Arc::clone(&gate));
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                "slow"
            }
        });
        let routes = Router::new().route("/slow", slow).route("/fast", get(|| async { "fast" }));
        Self { peer: Peer::new(routes).await, arrived, release }
    }

    async fn until_arrived(&self, count: usize) {
        while self.arrived.load(Ordering::SeqCst) < count {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_another_agent_waits_for_one_of_many_at_most() {
    const PERMITS: u32 = 4;
    let slow = Slow::new().await;
    let server = peer::server(&[format!("127.0.0.1:{}", slow.peer.port)], |config| {
        config.plugins.concurrent_skills = PERMITS;
        config.plugins.admission_wait = 60_000;
    })
    .await;
    server.offline("bob", "echo").await;
    server.accepted("bob", "http").await;
    let call = |agent: &'static str, path: &str| {
        let arguments = json!({ "url": slow.peer.url(path) });
        let server = &server;
        async move { server.invoke(agent, "http", "get", arguments).await.expect(200) }
    };
    let many = join_all((0..4 * PERMITS).map(|_| call("ada", "/slow")));
    let mut events = server.events("agent_id=bob&event_type=skill.invoked").await;
    let other = async {
        slow.until_arrived(PERMITS as usize).await;
        let calling = async {
            let answer = call("bob", "/fast").await;
            slow.release.add_permits(Semaphore::MAX_PERMITS / 2);
            answer
        };
        let some_end = async {
            events.until("skill.invoked").await;
            // The call may come to its turn a moment after it is recorded.
            for more in 1..=3 {
                slow.release.add_permits(1);
                slow.until_arrived(PERMITS as usize + more - 1).await;
            }
        };
        let (answer, ()) = tokio::join!(calling, some_end);
        answer
    };
    let (all, answer) = tokio::join!(many, other);
    assert!(answer.to_string().contains("fast") && all.len() == 4 * PERMITS as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_of_runs_wait_for_their_turn_however_long_it_takes() {
    let server = Server::with(|config| {
        config.plugins.concurrent_providers = 2;
        // Longer than any other call waits for its turn.
        config.plugins.admission_wait = 50;
        config.runs.concurrent_sessions = 64;
    })
    .await;
    for provider in ["ada", "bob", "eve"] {
        server
            .scripted_with(
                provider,
                json!({ "steps": [{ "text": "fine", "delay_ms": 200 }], "repeat": true }),
                json!({}),
            )
            .await;
    }
    let runs = ["ada", "bob", "eve"].into_iter().flat_map(|agent| (0..8).map(move |number| (agent, number)));
    let runs = join_all(runs.map(|(agent, number)| {
        let server = &server;
        async move {
            let body = json!({ "task": "go", "session": format!("s{number}") });
            let run = server.start_run(agent, body).await;
            let path = format!("after=0&run_id={}", run["run_id"].as_str().unwrap());
            let mut events = server.events(&path).await;
            events.until("run.completed").await
        }
    }));
    assert_eq!(runs.await.len(), 24);
}
