//! Tools that clients of OpenAI's API bring and carry out themselves.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    chat::{CHAT, Pieces, asked, content},
    harness::{Server, send},
    questions::call,
};

fn pay() -> Value {
    let parameters = json!({ "type": "object", "properties": { "sum": { "type": "integer" } }, "required": ["sum"] });
    json!({ "type": "function", "function": { "name": "pay", "description": "Pays.", "parameters": parameters } })
}

fn with_tools(agent: &str, messages: Value) -> Value {
    json!({ "model": agent, "messages": messages, "tools": [pay()] })
}

/// Creates an agent whose model makes these calls, and then returns the request that it receives.
async fn calling(server: &Server, calls: Value) {
    // The host puts a message of the model between the result of a call and the next message.
    let record = json!({ "record": true });
    server.scripted("ada", json!([{ "text": "I pay.", "tool_calls": calls }, record, record])).await;
    server.install("ada", "text").await;
    let policy = json!({ "client_tools": true });
    send(server.request(Method::PUT, "/v1/agents/ada/tool-policy").json(&policy)).await.expect(200);
}

#[tokio::test]
async fn a_client_carries_out_its_own_tools() {
    let server = Server::start().await;
    let own = call("text__word_count", json!({ "text": "a b" }));
    calling(&server, json!([own, call("pay", json!({ "sum": 7 }))])).await;
    let body = with_tools("ada", json!([{ "role": "user", "content": "pay" }]));
    let answer = server.post(CHAT, body.clone()).await.expect(200);
    let choice = &answer["choices"][0];
    assert_eq!((&choice["finish_reason"], content(&answer)), (&json!("tool_calls"), "I pay."));
    let calls = choice["message"]["tool_calls"].as_array().unwrap();
    assert_eq!((calls.len(), &calls[0]["function"]["name"]), (1, &json!("pay")));
    assert_eq!(calls[0]["function"]["arguments"], json!({ "sum": 7 }).to_string());
    // The agent's own tool was called meanwhile.
    let run = server.get(&format!("/v1/runs/{}", answer["id"].as_str().unwrap())).await.expect(200);
    let steps = run["steps"].as_array().unwrap();
    assert_eq!((steps.len(), &run["status"]), (2, &json!("completed")));
    // What came of it continues the session.
    let messages = json!([
        { "role": "user", "content": "pay" },
        { "role": "assistant", "content": "I pay.", "tool_calls": calls },
        { "role": "tool", "tool_call_id": calls[0]["id"], "content": "paid 7" },
    ]);
    let next = server.post(CHAT, with_tools("ada", messages)).await.expect(200);
    let shown: Value = serde_json::from_str(content(&next)).unwrap();
    assert!(shown["tools"].as_array().unwrap().contains(&json!("pay")), "{shown}");
    assert!(
        shown["messages"].as_array().unwrap().last().unwrap()["text"].as_str().unwrap().contains("paid 7"),
        "{shown}"
    );
    let of = |id: &Value| format!("/v1/runs/{}", id.as_str().unwrap());
    let (one, other) =
        (server.get(&of(&answer["id"])).await.expect(200), server.get(&of(&next["id"])).await.expect(200));
    assert_eq!(one["session_id"], other["session_id"]);
    // The same in pieces.
    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let (frames, _) = Pieces::of(&server, &streamed).await.rest().await;
    let shown = frames.iter().find_map(|frame| frame["choices"][0]["delta"]["tool_calls"].as_array()).unwrap();
    assert_eq!((&shown[0]["index"], &shown[0]["function"]), (&json!(0), &calls[0]["function"]));
    assert_eq!(frames.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn a_response_ends_with_the_calls_of_the_client() {
    let server = Server::start().await;
    calling(&server, json!([call("pay", json!({ "sum": 7 }))])).await;
    let mut function = pay()["function"].clone();
    function["type"] = json!("function");
    let body = json!({ "model": "ada", "input": "pay", "tools": [function], "tool_choice": "required" });
    let response = server.post("/v1/responses", body).await.expect(200);
    let made = &response["output"][1];
    assert_eq!((&made["type"], &made["name"]), (&json!("function_call"), &json!("pay")));
    let output = json!([{ "type": "function_call_output", "call_id": made["call_id"], "output": "paid" }]);
    let next = json!({ "model": "ada", "input": output, "previous_response_id": response["id"] });
    let next = server.post("/v1/responses", next).await.expect(200);
    let text = next["output"][0]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("paid") && text.contains("wants you to call one of its tools now: `pay`"), "{text}");
}

#[tokio::test]
async fn tools_of_a_client_need_the_agents_policy_and_a_fitting_call() {
    let server = Server::start().await;
    server
        .scripted("ada", json!([{ "tool_calls": [call("pay", json!({ "sum": "much" }))] }, { "record": true }]))
        .await;
    server.install("ada", "text").await;
    let ask = || server.post(CHAT, with_tools("ada", json!([{ "role": "user", "content": "pay" }])));
    assert!(ask().await.error(400, "invalid_input").contains("client_tools"));
    let put = |policy: Value| send(server.request(Method::PUT, "/v1/agents/ada/tool-policy").json(&policy));
    put(json!({ "client_tools": true })).await.expect(200);
    // The model is told what is wrong with its call, and goes on.
    let answer = ask().await.expect(200);
    assert!(content(&answer).contains("its arguments are wrong"), "{answer}");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    put(json!({ "client_tools": true, "tools": { "pay": "deny" } })).await.expect(200);
    let shown: Value = serde_json::from_str(content(&ask().await.expect(200))).unwrap();
    assert!(!shown["tools"].as_array().unwrap().contains(&json!("pay")), "{shown}");
    for (field, value) in [
        ("tools", json!([{ "type": "function", "function": { "name": "text__word_count" } }])),
        ("tools[0].name", json!([{ "type": "function", "function": { "name": "a b" } }])),
        ("tools[0].type", json!([{ "type": "web_search" }])),
        ("tools[0].parameters", json!([{ "type": "function", "function": { "name": "a", "parameters": 7 } }])),
        ("tools", json!(vec![pay(); 129])),
    ] {
        let mut body = asked("ada", "go");
        body["tools"] = value;
        let answer = server.post(CHAT, body).await;
        assert_eq!(answer.body["error"]["param"], field, "{answer:?}");
    }
    let mut body = with_tools("ada", json!([{ "role": "user", "content": "pay" }]));
    body["tool_choice"] = json!({ "type": "function", "function": { "name": "other" } });
    assert_eq!(server.post(CHAT, body).await.body["error"]["param"], "tool_choice");
}
