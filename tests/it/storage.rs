//! Values that skills store between calls, and their logs.

use serde_json::{Value, json};

use crate::harness::Server;

async fn server() -> Server {
    let server = Server::with(|config| config.plugins.skill_cpu = 300).await;
    server.offline("ada", "planner").await;
    server.upload("ada", "misbehave").await.expect(201);
    server
}

async fn keys(server: &Server, agent: &str) -> Value {
    server.invoke(agent, "misbehave", "keys", json!({})).await.expect(200)
}

fn keep(key: &str, bytes: usize, then: &str) -> Value {
    json!({ "key": key, "bytes": bytes, "then": then })
}

#[tokio::test]
async fn notes_stay_for_the_agent_that_wrote_them() {
    let server = Server::start().await;
    for agent in ["ada", "bob"] {
        server.offline(agent, "planner").await;
        server.install(agent, "notes").await;
    }
    let note = json!({ "title": "milk", "text": "two bottles" });
    server.invoke("ada", "notes", "write", note).await.expect(200);
    let server = Server::at(server.stop().await, |_| {}).await;
    let read = async |agent: &str| server.invoke(agent, "notes", "read", json!({ "title": "milk" })).await;
    assert_eq!(read("ada").await.expect(200), "two bottles");
    assert!(read("bob").await.error(500, "tool_failed").contains("no note"));
    assert_eq!(server.invoke("ada", "notes", "list", json!({})).await.expect(200), json!(["milk"]));
    server.invoke("ada", "notes", "delete", json!({ "title": "milk" })).await.expect(200);
    assert_eq!(server.invoke("ada", "notes", "list", json!({})).await.expect(200), json!([]));
    server.invoke("ada", "notes", "write", json!({ "title": "tea", "text": "green" })).await.expect(200);
    server.delete("/v1/agents/ada/skills/notes").await.expect(204);
    server.install("ada", "notes").await;
    assert_eq!(server.invoke("ada", "notes", "list", json!({})).await.expect(200), json!([]));
}

#[tokio::test]
async fn a_call_without_a_result_has_written_nothing() {
    let server = server().await;
    for (then, code) in [("fail", "tool_failed"), ("trap", "component_trapped"), ("spin", "component_limit")] {
        server.invoke("ada", "misbehave", "keep", keep("key", 10, then)).await.error(500, code);
        assert_eq!(keys(&server, "ada").await, json!([]), "{then}");
    }
    assert_eq!(server.invoke("ada", "misbehave", "keep", keep("key", 10, "read")).await.expect(200), json!(10));
    assert_eq!(keys(&server, "ada").await, json!(["key"]));
}

#[tokio::test]
async fn a_run_commits_a_value_with_its_step() {
    let server = Server::start().await;
    let call = |then: &str| json!({ "name": "misbehave__keep", "arguments": keep(then, 10, then) });
    server.scripted("ada", json!([{ "tool_calls": [call("ok"), call("trap")] }, { "text": "done" }])).await;
    server.upload("ada", "misbehave").await.expect(201);
    assert_eq!(server.run("ada", "go").await["status"], "completed");
    assert_eq!(keys(&server, "ada").await, json!(["ok"]));
}

#[tokio::test]
async fn quotas_hold() {
    let server = server().await;
    let large = server.invoke("ada", "misbehave", "keep", keep("key", (1 << 20) + 1, "ok")).await;
    assert!(large.error(500, "tool_failed").contains("at most 1048576 bytes, not 1048577"));
    server.invoke("ada", "misbehave", "keep", keep("", 1, "ok")).await.error(500, "tool_failed");
    server.invoke("ada", "misbehave", "keep", keep(&"k".repeat(257), 1, "ok")).await.error(500, "tool_failed");
    for number in 0..15 {
        server.invoke("ada", "misbehave", "keep", keep(&number.to_string(), 1 << 20, "ok")).await.expect(200);
    }
    let full = server.invoke("ada", "misbehave", "keep", keep("last", 1 << 20, "ok")).await;
    assert!(full.error(500, "component_limit").contains("keeps at most 10000 values and 16777216 bytes"));
    assert_eq!(keys(&server, "ada").await.as_array().unwrap().len(), 15);
    server.invoke("ada", "misbehave", "keep", keep("0", 10, "ok")).await.expect(200);
    server.invoke("ada", "misbehave", "keep", keep("last", 1 << 20, "ok")).await.expect(200);
}

#[tokio::test]
async fn what_a_skill_logs_is_told_and_bounded() {
    let server = server().await;
    server.invoke("ada", "misbehave", "chatter", json!({ "lines": 100_000 })).await.expect(200);
    let events = server.events("agent_id=ada&after=0").await.until("skill.completed").await;
    let lines: Vec<_> =
        events.iter().filter(|event| event.kind == "skill.log").map(|event| &event.data["payload"]).collect();
    assert_eq!(lines.len(), 65);
    assert_eq!((&lines[1]["level"], &lines[1]["message"]), (&json!("info"), &json!("line 1")));
    assert_eq!(lines[64]["message"], "99936 more lines were dropped");
}

#[tokio::test]
async fn a_call_whose_skill_was_removed_writes_nothing_and_fails_alone() {
    let server = Server::start().await;
    let call = json!({ "name": "misbehave__keep", "arguments": keep("key", 10, "nap") });
    server.scripted("ada", json!([{ "tool_calls": [call] }, { "record": true }])).await;
    server.upload("ada", "misbehave").await.expect(201);
    let mut events = server.events("agent_id=ada").await;
    let meanwhile = async {
        events.until("skill.invoked").await;
        server.delete("/v1/agents/ada/skills/misbehave").await.expect(204);
        server.upload("ada", "misbehave").await.expect(201);
    };
    let (run, ()) = tokio::join!(server.run("ada", "go"), meanwhile);
    let shown: Value = serde_json::from_str(run["output"].as_str().unwrap()).unwrap();
    let result = shown["messages"][2]["tool_results"][0]["content"].as_str().unwrap();
    assert_eq!(result, "`misbehave` was removed while the call was running");
    assert_eq!(keys(&server, "ada").await, json!([]));
}
