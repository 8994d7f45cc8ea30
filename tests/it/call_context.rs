//! Context of a call, and its reports of progress.

use serde_json::{Value, json};

use crate::harness::Server;

/// Starts a server with an agent whose model makes these calls and then ends.
async fn server(calls: Value) -> Server {
    let server = Server::with(|config| config.plugins.host_calls = 10_000).await;
    server.scripted("ada", json!([{ "tool_calls": calls }, { "text": "done" }])).await;
    server.upload("ada", "session").await.expect(201);
    server
}

#[tokio::test]
async fn a_call_knows_its_agent_its_session_and_its_run() {
    let server = server(json!([{ "name": "hostile__who", "arguments": {} }])).await;
    let outside = server.invoke("ada", "hostile", "who", json!({})).await.expect(200);
    assert_eq!(outside, json!(["ada", null, null]));
    let run = server.run("ada", "Who is it?").await;
    let steps = server.get(&format!("/v1/agents/ada/runs/{}", run["run_id"].as_str().unwrap())).await.expect(200);
    assert_eq!(steps["steps"][1]["output"], json!(["ada", run["session_id"], run["run_id"]]));
}

#[tokio::test]
async fn progress_is_told_while_the_call_runs() {
    let server = server(json!([{ "name": "hostile__work", "arguments": { "reports": 3, "wait_ms": 150 } }])).await;
    let mut events = server.events("agent_id=ada&event_type=skill.*").await;
    let run = server.run("ada", "Work.").await;
    let told = events.until("skill.completed").await;
    let progress: Vec<_> = told.iter().filter(|event| event.kind == "skill.progress").collect();
    assert!((2..=3).contains(&progress.len()), "{told:?}");
    assert!(progress.iter().all(|event| event.data["run_id"] == run["run_id"] && event.id.is_some()));
    let first = &progress[0].data["payload"];
    assert_eq!((&first["message"], &first["skill_id"]), (&json!("step 1"), &json!("hostile")));
    assert_eq!(first["step_id"], told[0].data["payload"]["step_id"]);
    let last = progress.last().unwrap();
    assert_eq!((&last.data["payload"]["message"], &last.data["payload"]["done"]), (&json!("step 3"), &json!(1.0)));
}

#[tokio::test]
async fn of_a_flood_of_reports_the_last_one_is_told() {
    let server = server(json!([])).await;
    let mut events = server.events("agent_id=ada&event_type=skill.*").await;
    server.invoke("ada", "hostile", "work", json!({ "reports": 9000 })).await.expect(200);
    let told = events.until("skill.completed").await;
    let progress: Vec<_> = told.iter().filter(|event| event.kind == "skill.progress").collect();
    assert!((1..100).contains(&progress.len()), "{}", progress.len());
    assert_eq!(progress.last().unwrap().data["payload"]["message"], "step 9000");
}

#[tokio::test]
async fn random_bytes_differ_from_call_to_call() {
    let server = server(json!([])).await;
    let draw = || async { server.invoke("ada", "hostile", "random", json!({})).await.expect(200) };
    let (one, two) = (draw().await, draw().await);
    assert_eq!(one.as_array().unwrap().len(), 32);
    assert_ne!(one, two);
}

#[tokio::test]
async fn calls_of_the_host_are_counted_and_limited() {
    let server = server(json!([])).await;
    let mut events = server.events("agent_id=ada&event_type=skill.*&event_type=sandbox.*").await;
    let text = json!({ "calls": 1000 });
    server.invoke("ada", "hostile", "count_calls", text.clone()).await.expect(200);
    let usage = events.until("skill.completed").await.pop().unwrap().data["payload"]["usage"].clone();
    let calls = usage["host_calls"].as_u64().unwrap();
    assert!((1000..1100).contains(&calls), "{usage}");
    assert_eq!(usage["received"], text.to_string().len());
    assert_eq!(usage["sent"], "called".len());
    assert!(usage["cpu_us"].as_u64().unwrap() > 0 && usage["memory"].as_u64().unwrap() > 0, "{usage}");
    let refused = server.invoke("ada", "hostile", "count_calls", json!({ "calls": 100_000_000 })).await;
    let message = refused.error(500, "component_limit");
    assert!(message.contains("made more than its 10000 calls of the host"), "{message}");
    let failed = events.until("skill.failed").await.pop().unwrap();
    assert!(failed.data["payload"]["usage"]["host_calls"].as_u64().unwrap() > 10_000, "{failed:?}");
    let exceeded = events.until("sandbox.limit_exceeded").await.pop().unwrap();
    assert_eq!(exceeded.data["payload"]["limit"], "host_calls");
}

#[tokio::test]
async fn memory_that_is_given_back_is_used_again() {
    let server = server(json!([])).await;
    let mut events = server.events("agent_id=ada&event_type=skill.completed").await;
    server.invoke("ada", "hostile", "buffers", json!({ "largest": 8 * 1024 })).await.expect(200);
    let usage = events.until("skill.completed").await.pop().unwrap().data["payload"]["usage"].clone();
    let memory = usage["memory"].as_u64().unwrap();
    assert!((8 << 20..24 << 20).contains(&memory), "{memory} bytes for buffers of 8 MiB");
}

#[tokio::test]
async fn the_operator_is_told_why_a_tool_broke_whatever_it_printed() {
    let server = server(json!([])).await;
    let broken = server.invoke("ada", "hostile", "last_words", json!({ "lines": 1000 })).await;
    let message = broken.error(500, "component_trapped");
    assert!(message.contains("line 999") && message.contains("the reason for it"), "{message}");
    assert!(!message.contains("line 1 ") && message.len() < 6000, "{message}");
}
