//! Tool policies: their checks, and their effect on runs that wait.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Server, send},
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
