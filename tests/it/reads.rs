//! What a run reads and writes does not grow with the age of its session, and no client's query goes on for ever.

use std::{fs, path::Path};

use moxxy_store::{self as store, Store, events::Events, readers::handle_request};
use moxxy_system::tasks::Tasks;
use moxxy_types::{clock::Clock, error::Error, paging::PageRequest};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    cli::serve_logging,
    harness::{Server, config, send},
    restart::KillOnDrop,
};

/// Maximum number of statements of a run with three steps, with the request that starts it.
const MAX_STATEMENTS: usize = 102;
/// Maximum number of commits of such a run: one for each step, and for the request, the start and the end of the run.
const MAX_COMMITS: usize = 6;

/// Returns the statements in the log of a server since the last one of this call.
fn statements(log: &Path, seen: &mut usize) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap();
    let statement = |line: &str| Some(line.split_once("summary=\"")?.1.split_once('"')?.0.to_owned());
    let all: Vec<_> = text.lines().filter_map(statement).collect();
    let new = all[*seen..].to_vec();
    *seen = all.len();
    new
}

#[tokio::test]
async fn the_statements_of_a_step_are_few_in_sessions_of_any_age() {
    let (home, logs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let log = logs.path().join("log");
    let (process, url) = serve_logging(home.path(), &[("MOXXY_LOG_FILTER", "sqlx::query=debug")], &log);
    let _process = KillOnDrop(process);
    let server = Server::elsewhere(url, home);
    let call = json!({ "name": "text__word_count", "arguments": { "text": "some words ".repeat(40) } });
    let config = json!({
        "steps": [{ "tool_calls": [call] }, { "text": "fine" }], "per_task": true, "model": { "context_window": 4000 },
    });
    server.scripted_with("ada", config, json!({})).await;
    server.install("ada", "text").await;
    let mut seen = 0;
    let mut counts = Vec::new();
    for _ in 0..25 {
        statements(&log, &mut seen);
        let run = server.request(reqwest::Method::POST, "/v1/agents/ada/runs").header("Prefer", "wait=30");
        assert_eq!(send(run.json(&json!({ "task": "go" }))).await.expect(201)["status"], "completed");
        let made = statements(&log, &mut seen);
        counts.push((made.len(), made.iter().filter(|statement| *statement == "COMMIT").count()));
    }
    assert!(counts.iter().all(|(statements, _)| *statements <= MAX_STATEMENTS), "{counts:?}");
    // When the prompt begins at another message, the history is read again, after a commit of its own.
    let moved = counts[1..].iter().filter(|(_, commits)| *commits > MAX_COMMITS);
    assert!(moved.clone().count() <= 3 && moved.clone().all(|(_, commits)| *commits == MAX_COMMITS + 1), "{counts:?}");
    // The first run of a session opens it.
    let (first, last) = (counts[1].0, counts[24].0);
    assert!(last <= first + 2, "{counts:?}");
}

#[tokio::test]
async fn a_clients_query_is_ended_after_its_time() {
    let (home, tasks) = (TempDir::new().unwrap(), Tasks::default());
    let path = config(home.path()).database();
    let store = Store::open(&path, Events::default(), Clock::system(), &tasks).await.unwrap();
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n";
    let read = async {
        let mut db = store.read().await?;
        let count: i64 = sqlx::query_scalar(endless).fetch_one(&mut *db).await?;
        Ok::<_, Error>(count)
    };
    let error = handle_request(read).await.unwrap_err();
    assert_eq!(error.code(), "query_too_slow", "{error:?}");
    // The connection serves the next client.
    for _ in 0..8 {
        let next =
            async { store::agents::list(&mut *store.read().await?, &PageRequest { limit: 10, after: None }).await };
        assert!(handle_request(next).await.unwrap().is_empty());
    }
}
