//! Tool policies: their checks, and their effect on runs that wait.

use std::sync::Arc;

use axum::{Router, routing::get};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    harness::{Answer, Server, send},
    peer::{self, Peer},
    questions::{asking, call, questions, respond, told, waiting},
};

#[tokio::test]
async fn a_policy_is_checked_and_kept() {
    let server = Server::start().await;
    asking(&server, "ada", json!([])).await;
    let policy = "/v1/agents/ada/tool-policy";
    let put = |body: Value| send(server.request(Method::PUT, policy).json(&body));
    for (field, wrong) in [
        ("tools", json!({ "tools": { "a b": "ask" } })),
        ("tools", json!({ "tools": { "": "ask" } })),
        ("tools", json!({ "tools": { "a": "maybe" } })),
        ("idempotent", json!({ "idempotent": ["ä"] })),
    ] {
        let answer = put(wrong).await;
        assert!(answer.body["details"][0]["field"].as_str().unwrap().starts_with(field), "{answer:?}");
        answer.error(400, "invalid_input");
    }
    let empty = server.get(policy).await;
    let version = empty.headers["etag"].clone();
    put(json!({ "tools": { "*": "ask", "hostile__*": "allow" }, "idempotent": ["hostile__delete"] })).await.expect(200);
    let stale = server.request(Method::PUT, policy).header("If-Match", version).json(&json!({}));
    send(stale).await.error(412, "stale");
    let kept = server.get(policy).await.expect(200);
    assert_eq!(kept["tools"], json!({ "*": "ask", "hostile__*": "allow" }));
    let home = server.stop().await;
    let server = Server::at(home, |_| {}).await;
    assert_eq!(server.get(policy).await.expect(200), kept);
}

#[tokio::test]
async fn a_new_policy_holds_for_what_waits() {
    let server = Server::start().await;
    let guarded = |name: &str| call("hostile__guarded", json!({ "name": name }));
    asking(&server, "ada", json!([guarded("a")])).await;
    let run = waiting(&server, "ada").await;
    let open = questions(&server, "ada").await;
    let put = |policy: Value| send(server.request(Method::PUT, "/v1/agents/ada/tool-policy").json(&policy));
    let mut events = server.events("agent_id=ada&event_type=run.waiting").await;
    put(json!({ "tools": { "*": "ask" } })).await.expect(200);
    events.until("run.waiting").await;
    respond(&server, "ada", &open[0], json!({ "decision": "deny" })).await.error(404, "question_not_found");
    put(json!({ "tools": { "*": "allow" } })).await.expect(200);
    assert_eq!(told(&server, &run).await, ["did a"]);
}

#[tokio::test]
async fn each_call_of_a_message_is_decided_when_its_turn_comes() {
    let (arrived, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (arrives, released) = (Arc::clone(&arrived), Arc::clone(&release));
    let slow = get(move || async move {
        arrives.notify_one();
        released.notified().await;
        "fine"
    });
    let peer = Peer::new(Router::new().route("/slow", slow)).await;
    let server = peer::reaching(&peer).await;
    server.upload("ada", "asker").await.expect(201);
    let guarded = |name: &str| call("hostile__guarded", json!({ "name": name }));
    let calls = json!([call("http__get", json!({ "url": peer.url("/slow") })), guarded("a"), guarded("b")]);
    let config = json!({ "steps": [{ "tool_calls": calls }, { "record": true }] });
    let script = json!({ "id": "script", "component": { "bundled": "script" }, "config": config });
    server.post("/v1/providers", script).await.expect(201);
    server.patch("/v1/agents/ada", json!({ "provider": "script", "model": "script" })).await.expect(200);
    let put = |policy: Value| send(server.request(Method::PUT, "/v1/agents/ada/tool-policy").json(&policy));
    put(json!({ "tools": { "*": "allow" } })).await.expect(200);
    let run = server.start_run("ada", json!({ "task": "go" })).await;
    arrived.notified().await;
    put(json!({ "tools": { "hostile__*": "deny" } })).await.expect(200);
    release.notify_one();
    let results = told(&server, &run).await;
    assert!(results[0].contains("fine"), "{results:?}");
    for denied in &results[1..] {
        assert_eq!(denied, "The call was not made: the tool policy of the agent denies this tool.");
    }
}

#[tokio::test]
async fn a_pattern_that_matches_no_tool_is_named() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    server.install("ada", "text").await;
    let path = "/v1/agents/ada/tool-policy";
    let put = async |body: Value| send(server.request(Method::PUT, path).json(&body)).await;
    let policy = json!({
        "tools": { "text__*": "ask", "ask_user": "deny", "txet__*": "deny", "notes__write": "ask" },
        "idempotent": ["text__word_count", "notes__write"],
    });
    let set = put(policy).await.expect(200);
    assert_eq!(set["unmatched"], json!(["notes__write", "txet__*"]));
    // The answer can be sent back as it is.
    put(set).await.expect(200);
    let before = server.get(path).await;
    server.install("ada", "notes").await;
    let after = server.get(path).await;
    assert_eq!(after.body["unmatched"], json!(["txet__*"]));
    let version = |answer: &Answer| answer.headers["etag"].to_str().unwrap().split('-').next().map(str::to_owned);
    assert_eq!(version(&after), version(&before));
}
