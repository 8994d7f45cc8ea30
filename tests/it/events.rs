//! `/v1/events/stream`.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Sent, Server};

fn kinds(events: &[Sent]) -> Vec<&str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}

#[tokio::test]
async fn a_run_is_told_in_order_without_a_gap() {
    let server = Server::start().await;
    server.offline("ada", "planner").await;
    server.install("ada", "text").await;
    let run = server.run("ada", "Count the words in \"a b c\"").await;
    let query = format!("run_id={}&after=0", run["run_id"].as_str().unwrap());
    let events = server.events(&query).await.until("run.completed").await;
    let expected = [
        "run.queued",
        "run.started",
        "message.user",
        "model.request",
        "model.response",
        "message.assistant",
        "skill.invoked",
        "skill.completed",
        "model.request",
        "model.response",
        "message.assistant",
        "run.completed",
    ];
    assert_eq!(kinds(&events), expected);
    let sequences: Vec<_> = events.iter().map(|event| event.data["sequence"].as_i64().unwrap()).collect();
    assert_eq!(sequences, (1..=12).collect::<Vec<_>>());
    assert!(events.windows(2).all(|pair| pair[0].id < pair[1].id));
    let envelope = events[0].data.as_object().unwrap();
    let keys: Vec<_> = envelope.keys().map(String::as_str).collect();
    assert_eq!(keys, ["agent_id", "event_id", "event_type", "payload", "run_id", "sequence", "timestamp"]);
    assert!(events[7].data["payload"]["usage"]["memory"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn text_is_streamed_as_it_comes_and_is_not_kept() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let mut live = server.events("event_type=message.*&event_type=run.completed").await;
    server.run("ada", "one two three").await;
    let events = live.until("run.completed").await;
    let mut text = String::new();
    for event in events.iter().filter(|event| event.kind == "message.delta") {
        assert_eq!((event.id, &event.data["sequence"]), (None, &Value::Null));
        assert_eq!(event.data["payload"]["at"], text.len());
        text.push_str(event.data["payload"]["text"].as_str().unwrap());
    }
    assert_eq!(text, "one two three");
    let kept = server.events("after=0").await.until("run.completed").await;
    assert!(!kinds(&kept).contains(&"message.delta"));
}

#[tokio::test]
async fn a_stream_is_taken_up_where_it_was_left() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let mut events = server.events("agent_id=ada&after=0").await;
    server.run("ada", "one").await;
    let first = events.until("message.user").await;
    drop(events);
    server.run("ada", "two").await;
    let last = first.last().unwrap().id.unwrap().to_string();
    let request = server.request(Method::GET, "/v1/events/stream?agent_id=ada&after=0").header("Last-Event-ID", last);
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["cache-control"], "no-cache");
    let path = format!("agent_id=ada&after={}", first.last().unwrap().id.unwrap());
    let mut rest = server.events(&path).await;
    let mut all = first;
    all.extend(rest.until("run.completed").await);
    all.extend(rest.until("run.completed").await);
    let fresh = server.events("agent_id=ada&after=0").await;
    let whole = read(fresh, all.len()).await;
    assert_eq!(all.iter().map(|e| e.id).collect::<Vec<_>>(), whole.iter().map(|e| e.id).collect::<Vec<_>>());
}

async fn read(mut stream: crate::harness::Stream, count: usize) -> Vec<Sent> {
    let mut events = Vec::new();
    while events.len() < count {
        events.push(stream.next().await.unwrap());
    }
    events
}

#[tokio::test]
async fn filters_select_agents_runs_and_types() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    server.offline("bob", "echo").await;
    server.run("ada", "a").await;
    let run = server.run("bob", "b").await;
    let run_id = run["run_id"].as_str().unwrap();
    let mut runs = server.events("event_type=run.queued&after=0").await;
    assert_eq!(runs.next().await.unwrap().data["agent_id"], "ada");
    assert_eq!(runs.next().await.unwrap().data["agent_id"], "bob");
    let mut both = server.events("agent_id=ada&agent_id=bob&event_type=agent.created&after=0").await;
    assert_eq!(both.next().await.unwrap().data["agent_id"], "ada");
    assert_eq!(both.next().await.unwrap().data["agent_id"], "bob");
    let mut one = server.events(&format!("run_id={run_id}&event_type=run.*&after=0")).await;
    assert_eq!(kinds(&one.until("run.completed").await), ["run.queued", "run.started", "run.completed"]);
}

#[tokio::test]
async fn a_reader_that_lags_misses_nothing() {
    let server = Server::start().await;
    let words = "word ".repeat(3000);
    server.offline("ada", "echo").await;
    // Read nothing while more events occur than the server buffers for a subscriber.
    let mut slow = server.events("agent_id=ada").await;
    for _ in 0..3 {
        server.run("ada", &words).await;
    }
    for run in 0..3 {
        let events = slow.until("run.completed").await;
        let sequences: Vec<_> = events.iter().filter_map(|event| event.data["sequence"].as_i64()).collect();
        assert_eq!(sequences, (1..=7).collect::<Vec<_>>(), "run {run}");
    }
}

#[tokio::test]
async fn providers_and_limits_are_told_too() {
    let server = Server::with(|config| config.plugins.skill_cpu = 200).await;
    let steps = json!([{ "tool_calls": [{ "name": "misbehave__spin", "arguments": {} }] }, { "trap": true }]);
    server.scripted("ada", steps).await;
    server.upload("ada", "misbehave").await.expect(201);
    server.run("ada", "go").await;
    let events = server.events("after=0").await.until("run.failed").await;
    for kind in ["provider.installed", "skill.failed", "sandbox.limit_exceeded", "model.failed", "provider.failed"] {
        assert!(kinds(&events).contains(&kind), "{kind}: {:?}", kinds(&events));
    }
}

#[tokio::test]
async fn a_place_beyond_the_log_is_refused() {
    let server = Server::start().await;
    for after in ["-1", "999999999"] {
        server.get(&format!("/v1/events/stream?after={after}")).await.error(400, "invalid_input");
    }
}

#[tokio::test]
async fn a_selection_that_nothing_can_match_is_refused() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    server.run("ada", "a").await;
    let stream = async |query: &str| server.get(&format!("/v1/events/stream?{query}")).await;
    for unknown in ["nonsense", "run", "run.", "*", "ru*", "runs.*", "run.complete"] {
        let answer = stream(&format!("agent_id=ada&event_type=run.*&event_type={unknown}")).await;
        assert_eq!(answer.body["details"][0]["field"], "event_type", "{unknown}");
        let message = answer.error(400, "invalid_input");
        assert!(message.contains(&format!("{unknown:?}")) && message.contains("run.completed"), "{message}");
    }
    stream("agent_id=ada&agent_id=bob").await.error(404, "agent_not_found");
    stream("run_id=run_019b7c5e-8f00-7000-8000-000000000001").await.error(404, "run_not_found");
    // A subscriber of an agent gets its deletion, also afterwards.
    server.delete("/v1/agents/ada").await.expect(204);
    let mut events = server.events("agent_id=ada&after=0").await;
    assert_eq!(events.next().await.unwrap().kind, "agent.deleted");
}

#[tokio::test]
async fn large_events_reach_those_who_are_there() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let large = "x".repeat(200_000);
    let mut events = server.events("agent_id=ada&event_type=run.*").await;
    server.run("ada", &large).await;
    let events = events.until("run.completed").await;
    assert_eq!(kinds(&events), ["run.queued", "run.started", "run.completed"]);
    assert_eq!(events[2].data["payload"]["output"].as_str().unwrap().len(), large.len());
}
