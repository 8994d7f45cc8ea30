//! Retention of events, and the report of the gap to subscribers.

use std::sync::atomic::Ordering;

use moxxy_types::clock::{self, Clock};
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use time::OffsetDateTime;

use crate::harness::{Sent, Server, config, send};

/// Returns the first event of a stream, once the old ones were removed.
async fn first_after_removal(server: &Server) -> Sent {
    loop {
        let first = server.events("after=0").await.next().await.unwrap();
        if first.kind == "stream.gap" {
            return first;
        }
    }
}

#[tokio::test]
async fn a_reader_that_asks_for_what_is_gone_is_told_of_the_gap_first() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let old = server.run("ada", "one").await;
    server.run("ada", "two").await;
    let all = server.events("after=0").await.until("run.completed").await.len() + 7;
    let home = server.stop().await;
    let server = Server::at(home, |config| config.events.keep_events = 5).await;
    let gap = first_after_removal(&server).await;
    let last = i64::try_from(all).unwrap();
    assert_eq!((gap.id, &gap.data["sequence"]), (None, &Value::Null));
    assert_eq!(gap.data["payload"], json!({ "from": 1, "to": last - 5 }));
    // Then the stream continues without another gap, whatever the filter.
    let kept: Vec<_> = server.events("after=0").await.until("run.completed").await;
    assert_eq!(
        kept[1..].iter().filter_map(|event| event.id).collect::<Vec<_>>(),
        (last - 4..=last).collect::<Vec<_>>()
    );
    let selected = server.events("after=0&agent_id=ada&event_type=run.completed").await.until("run.completed").await;
    assert_eq!(selected.iter().map(|event| &*event.kind).collect::<Vec<_>>(), ["stream.gap", "run.completed"]);
    let reconnected = server.request(reqwest::Method::GET, "/v1/events/stream").header("Last-Event-ID", "3");
    let mut reconnected = crate::harness::Stream::of(reconnected.send().await.unwrap());
    assert_eq!(reconnected.next().await.unwrap().data["payload"]["from"], 4);
    // A subscriber that missed nothing gets no gap: after the gap, and for a complete run.
    let behind = server.events(&format!("after={}", last - 5)).await.next().await.unwrap();
    assert_eq!(behind.id, Some(last - 4));
    let new = server.run("ada", "three").await;
    let whole = server.events(&format!("run_id={}&after=0", new["run_id"].as_str().unwrap())).await;
    let whole = { whole }.until("run.completed").await;
    assert_eq!((&*whole[0].kind, whole.len()), ("run.queued", 7));
    let lost =
        server.events(&format!("run_id={}&after=0", old["run_id"].as_str().unwrap())).await.next().await.unwrap();
    assert_eq!(lost.kind, "stream.gap");
    // The run and its messages are still there.
    assert_eq!(server.get("/v1/agents/ada/history").await.expect(200).as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn events_go_after_their_time_and_new_ones_follow() {
    let (server, later) = Server::timed(|config| config.events.keep_days = 2).await;
    let mut due = clock::format(OffsetDateTime::now_utc());
    pruned(&server, "events.prune", &mut due).await;
    server.offline("ada", "echo").await;
    server.run("ada", "one").await;
    let denied = server.request(reqwest::Method::GET, "/v1/agents").bearer_auth("mox_nobody");
    send(denied).await.error(401, "unauthenticated");
    server.events("after=0").await.until("token.denied").await;
    later.store(100 * 86_400, Ordering::SeqCst);
    let start = async |home: TempDir, days: i64| {
        let mut settings = config(home.path());
        settings.events.keep_days = 2;
        let clock = Clock::new(move || OffsetDateTime::now_utc() + time::Duration::days(days));
        Server::configured(home, settings, clock).await
    };
    // A clock that is far ahead could be wrong, so that the log loses a day of events at most.
    let server = start(server.stop().await, 100).await;
    pruned(&server, "events.prune", &mut due).await;
    assert_ne!(server.events("after=0").await.until("run.completed").await[0].kind, "stream.gap");
    let server = start(server.stop().await, 101).await;
    pruned(&server, "events.prune", &mut due).await;
    let server = start(server.stop().await, 102).await;
    pruned(&server, "events.prune", &mut due).await;
    let gap = first_after_removal(&server).await;
    // No event is left, and positions are not reused.
    let last = gap.data["payload"]["to"].as_i64().unwrap();
    let mut events = server.events(&format!("after={last}")).await;
    server.get(&format!("/v1/events/stream?after={}", last + 1)).await.error(400, "invalid_input");
    server.run("ada", "two").await;
    let queued = events.next().await.unwrap();
    assert_eq!((queued.id, &*queued.kind), (Some(last + 1), "run.queued"));
    let mut all = server.events("after=0").await;
    assert_eq!(all.next().await.unwrap().kind, "stream.gap");
    assert_eq!(all.next().await.unwrap().id, Some(last + 1));
}

/// Waits until a job is due later than `due`, which means that it has run, and sets `due` to that time.
async fn pruned(server: &Server, job: &str, due: &mut String) {
    loop {
        let jobs = server.get(&format!("/v1/jobs?kind={job}")).await.expect(200);
        let next = jobs[0]["due_at"].as_str().unwrap_or_default();
        if jobs[0]["status"] == "due" && next > due.as_str() {
            return next.clone_into(due);
        }
    }
}

/// Waits until the run is gone.
async fn removed(server: &Server, run: &Value) {
    let path = format!("/v1/runs/{}", run["run_id"].as_str().unwrap());
    let mut events = server.events("after=0&event_type=run.deleted").await;
    loop {
        let deleted = events.until("run.deleted").await.pop().unwrap();
        if deleted.data["payload"]["deleted_run_id"] == run["run_id"] {
            return server.get(&path).await.error(404, "run_not_found").truncate(0);
        }
    }
}

#[tokio::test]
async fn runs_of_chats_go_after_their_time_and_others_stay() {
    let server = Server::start().await;
    let mut due = clock::format(OffsetDateTime::now_utc());
    pruned(&server, "runs.prune", &mut due).await;
    server.offline("ada", "echo").await;
    let kept = server.run("ada", "one").await;
    let chat = json!({ "model": "ada", "messages": [{ "role": "user", "content": "hello" }] });
    server.post("/v1/chat/completions", chat).await.expect(200);
    let runs = server.get("/v1/runs?origin=chat_completions").await.expect(200);
    let sessions = async |server: &Server| server.get("/v1/agents/ada/sessions").await.expect(200);
    assert_eq!(sessions(&server).await.as_array().unwrap().len(), 2);
    let at = async |home: TempDir, days: i64| {
        let mut settings = config(home.path());
        settings.runs.keep_chat_days = 1;
        let clock = Clock::new(move || OffsetDateTime::now_utc() + time::Duration::days(days));
        Server::configured(home, settings, clock).await
    };
    let server = at(server.stop().await, 3).await;
    pruned(&server, "runs.prune", &mut due).await;
    let server = at(server.stop().await, 4).await;
    removed(&server, &runs[0]).await;
    assert_eq!(sessions(&server).await.as_array().unwrap().len(), 1);
    let kept = format!("/v1/runs/{}", kept["run_id"].as_str().unwrap());
    assert_eq!(server.get(&kept).await.expect(200)["output"], "one");
    // The next time is visible.
    pruned(&server, "runs.prune", &mut due).await;
}

#[tokio::test]
async fn the_space_of_removed_events_is_returned() {
    let server = Server::start().await;
    let home = server.stop().await;
    let path = config(home.path()).database();
    let mut db = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
                INSERT INTO events (event_id, timestamp, event_type, payload)
                SELECT 'filler-' || i, '2026-01-01T00:00:00.000Z', 'token.denied', printf('{\"text\":\"%.400c\"}', 'x') FROM n";
    sqlx::query(fill).execute(&mut db).await.unwrap();
    db.close().await.unwrap();
    let size = || std::fs::metadata(&path).unwrap().len();
    let full = size();
    let mut due = clock::format(OffsetDateTime::now_utc());
    let server = Server::at(home, |config| config.events.keep_events = 100).await;
    pruned(&server, "events.prune", &mut due).await;
    let _home = server.stop().await;
    assert!(size() < full / 10, "{} of {full}", size());
}

/// Returns what is kept of a kind of data.
async fn kept(server: &Server, query: &str) -> Value {
    server.get(&format!("/v1/retention?{query}")).await.expect(200)[0].clone()
}

#[tokio::test]
async fn too_many_bytes_go_and_a_limit_can_be_tried_before() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let large = "x".repeat(10_000);
    let old = server.run("ada", &large).await;
    let chat = |text: &str| json!({ "model": "ada", "messages": [{ "role": "user", "content": text }] });
    server.post("/v1/chat/completions", chat(&large)).await.expect(200);
    let new = server.run("ada", "small").await;
    let all = server.get("/v1/retention").await.expect(200);
    let ids: Vec<_> = all.as_array().unwrap().iter().map(|kept| kept["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["events", "runs", "chat_runs", "audit", "idempotency_keys"]);
    assert!(all.as_array().unwrap().iter().all(|kept| kept["removable"] == 0 && kept["next_at"].is_string()), "{all}");
    let size = all[1]["bytes"].as_i64().unwrap();
    assert!(size > 20_000 && all[2]["bytes"].as_i64().unwrap() > 20_000, "{all}");
    // One of two runs is too much, however little it is too much.
    assert_eq!(kept(&server, &format!("id=runs&keep_bytes={}", size - 1)).await["removable"], 1);
    assert_eq!(kept(&server, &format!("id=runs&keep_bytes={size}")).await["removable"], 0);
    assert_eq!(kept(&server, "id=runs&keep_bytes=1").await["removable"], 2);
    let first = server.events("after=0&event_type=run.completed").await.next().await.unwrap().id;
    assert!(kept(&server, "id=events&keep_count=1").await["removable"].as_i64() > first);
    server.get("/v1/retention?keep_days=1").await.error(400, "invalid_input");
    server.get("/v1/retention?id=audit&keep_bytes=1").await.error(400, "invalid_input");
    server.get("/v1/retention?id=runs&keep_days=-1").await.error(400, "invalid_query");

    // A job that has not run yet is due now.
    let soon = clock::format(OffsetDateTime::now_utc() + time::Duration::seconds(10));
    let (mut due, mut due_of_events) = (soon.clone(), soon);
    pruned(&server, "runs.prune", &mut due).await;
    pruned(&server, "events.prune", &mut due_of_events).await;
    let home = server.stop().await;
    let server = Server::at(home, |config| {
        (config.runs.keep_bytes, config.runs.keep_chat_bytes, config.events.keep_bytes) = (10_000, 10_000, 10_000);
    })
    .await;
    pruned(&server, "runs.prune", &mut due).await;
    pruned(&server, "events.prune", &mut due_of_events).await;
    server.get(&format!("/v1/runs/{}", old["run_id"].as_str().unwrap())).await.error(404, "run_not_found");
    assert_eq!(first_after_removal(&server).await.kind, "stream.gap");
    let path = format!("/v1/runs/{}", new["run_id"].as_str().unwrap());
    assert_eq!(server.get(&path).await.expect(200)["output"], "small");
    let chats = server.get("/v1/runs?origin=chat_completions").await.expect(200);
    assert_eq!(chats, json!([]));
    for id in ["events", "runs", "chat_runs"] {
        let kept = kept(&server, &format!("id={id}")).await;
        assert!(kept["bytes"].as_i64().unwrap() <= 10_000, "{kept}");
        assert_eq!(kept["keep_bytes"], 10_000);
    }
}
