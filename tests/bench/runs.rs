//! Benchmark of durable runs: how many runs of three steps (model call, tool call, model call) a server completes per
//! second, in 1 to 64 sessions at once. Each step is on disk before the next one starts.
//!
//! The floor is the number of small transactions that SQLite commits per second in the same folder, one at a time, each
//! with a flush to disk. `BASELINE` names the binary of another version, which is measured in turns with this one.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that cannot go on stops")]

#[path = "server.rs"]
mod server;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use server::Server;
use sqlx::{ConnectOptions as _, Executor as _, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// Numbers of concurrent sessions.
const SESSIONS: [u32; 4] = [1, 4, 16, 64];
/// Duration of a measurement.
const MEASUREMENT: Duration = Duration::from_secs(4);
/// Number of measurements of each case, of which the best counts.
const ROUNDS: usize = 3;
const OPTIONS: [(&str, &str); 3] = [
    ("MOXXY_RATE_LIMIT_PER_SECOND", "1000000"),
    ("MOXXY_RATE_LIMIT_BURST", "1000000"),
    ("MOXXY_RUNS_CONCURRENT_SESSIONS", "64"),
];

#[tokio::main]
async fn main() {
    let floor = commits_per_second().await;
    println!("floor: {floor:.0} commits per second, one at a time");
    let own = Arc::new(prepared(Server::start(&OPTIONS)).await);
    let baseline = match std::env::var("BASELINE") {
        Ok(binary) => Some(Arc::new(prepared(Server::of(&binary, &OPTIONS)).await)),
        Err(_) => None,
    };
    for sessions in SESSIONS {
        let (mut best, mut best_before) = (0.0_f64, 0.0_f64);
        for _ in 0..ROUNDS {
            best = best.max(runs_per_second(&own, sessions).await);
            if let Some(baseline) = &baseline {
                best_before = best_before.max(runs_per_second(baseline, sessions).await);
            }
        }
        let ratio = best / floor;
        print!("{sessions:>2} sessions: {best:6.1} runs per second, {ratio:.2} per commit of the floor");
        match baseline {
            Some(_) => println!("; baseline {best_before:6.1}, ratio {:.2}", best / best_before),
            None => println!(),
        }
    }
}

async fn commits_per_second() -> f64 {
    let folder = TempDir::new().unwrap();
    let options = SqliteConnectOptions::new().filename(folder.path().join("floor.db")).create_if_missing(true);
    let mut db = options.connect().await.unwrap();
    db.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE rows (text TEXT) STRICT;")
        .await
        .unwrap();
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < MEASUREMENT {
        db.execute("INSERT INTO rows VALUES ('a step')").await.unwrap();
        count += 1;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

/// Creates an agent whose model calls one tool and then ends.
async fn prepared(server: Server) -> Server {
    let call = json!({ "name": "text__word_count", "arguments": { "text": "a b c" } });
    let steps = json!([{ "tool_calls": [call] }, { "text": "three" }]);
    // A small context window, because prompts are not what is measured.
    let config = json!({ "steps": steps, "per_task": true, "model": { "context_window": 4000 } });
    let provider = json!({ "id": "ada", "component": { "bundled": "script" }, "config": config });
    post(&server, "/v1/providers", provider).await;
    post(&server, "/v1/agents", json!({ "name": "ada", "provider": "ada", "model": "script" })).await;
    post(&server, "/v1/agents/ada/skills/install", json!({ "source": { "bundled": "text" } })).await;
    server
}

async fn post(server: &Server, path: &str, body: Value) -> Value {
    let request = server.http.post(format!("{}{path}", server.url)).header("Prefer", "wait=60").json(&body);
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    answer.json().await.unwrap()
}

async fn runs_per_second(server: &Arc<Server>, sessions: u32) -> f64 {
    let (start, completed) = (Instant::now(), Arc::new(AtomicU32::new(0)));
    let mut clients = JoinSet::new();
    for session in 0..sessions {
        let (server, completed) = (Arc::clone(server), Arc::clone(&completed));
        clients.spawn(async move {
            while start.elapsed() < MEASUREMENT {
                let task = json!({ "task": "Count the words", "session": format!("s{session}") });
                let run = post(&server, "/v1/agents/ada/runs", task).await;
                assert_eq!(run["status"], "completed", "{run}");
                completed.fetch_add(1, Relaxed);
            }
        });
    }
    clients.join_all().await;
    f64::from(completed.load(Relaxed)) / start.elapsed().as_secs_f64()
}
