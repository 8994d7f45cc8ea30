//! `/v1/responses`: agents as models, for clients of OpenAI's Responses API.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    chat::counting,
    harness::{Server, Stream, send},
};

const RESPONSES: &str = "/v1/responses";

fn asked(agent: &str, input: Value) -> Value {
    json!({ "model": agent, "input": input })
}

fn after(previous: &Value, input: &str) -> Value {
    json!({ "model": "ada", "input": input, "previous_response_id": previous["id"] })
}

fn text(response: &Value) -> &str {
    response["output"][0]["content"][0]["text"].as_str().unwrap()
}

fn path(response: &Value) -> String {
    format!("{RESPONSES}/{}", response["id"].as_str().unwrap())
}

async fn session_of(server: &Server, response: &Value) -> Value {
    let run = response["id"].as_str().unwrap().replace("resp_", "run_");
    server.get(&format!("/v1/runs/{run}")).await.expect(200)["session_id"].clone()
}

/// Returns the events of a streamed response.
async fn streamed(server: &Server, body: Value) -> Vec<(String, Value)> {
    let mut body = body;
    body["stream"] = json!(true);
    let response = server.request(Method::POST, RESPONSES).json(&body).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut stream = Stream::of(response);
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        assert_eq!(event.data["type"], json!(event.kind));
        assert_eq!(event.data["sequence_number"], json!(events.len()));
        events.push((event.kind, event.data));
    }
    events
}

#[tokio::test]
async fn a_response_is_the_same_in_one_and_in_pieces() {
    let server = Server::start().await;
    server.scripted("ada", counting()).await;
    server.install("ada", "text").await;
    let whole = server.post(RESPONSES, asked("ada", json!("count"))).await.expect(200);
    assert_eq!(text(&whole), "Let me count them.\n\nThere are three: ä 世 😀");
    // The model had no room for more.
    assert_eq!(
        (&whole["status"], &whole["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("max_output_tokens"))
    );
    assert_eq!((&whole["usage"]["input_tokens"], &whole["usage"]["total_tokens"]), (&json!(30), &json!(42)));
    let events = streamed(&server, asked("ada", json!("count"))).await;
    let kinds: Vec<_> = events.iter().map(|(kind, _)| kind.as_str()).filter(|kind| !kind.ends_with("delta")).collect();
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.incomplete",
        ]
    );
    let told: String = events.iter().filter_map(|(_, event)| event["delta"].as_str()).collect();
    assert_eq!(told, text(&whole));
    let (_, last) = events.last().unwrap();
    assert_eq!((text(&last["response"]), &last["response"]["usage"]), (text(&whole), &whole["usage"]));
    // It can be read again.
    assert_eq!(server.get(&path(&whole)).await.expect(200), whole);
}

#[tokio::test]
async fn a_response_follows_another_in_its_session_or_branches_off() {
    let server = Server::start().await;
    server.scripted_with("ada", json!({ "steps": [{ "record": true }], "repeat": true }), json!({})).await;
    let with_instructions = |mut body: Value| {
        body["instructions"] = json!("Be brief.");
        body
    };
    let one = server.post(RESPONSES, with_instructions(asked("ada", json!("one")))).await.expect(200);
    assert_eq!(one["instructions"], "Be brief.");
    let two = server.post(RESPONSES, with_instructions(after(&one, "two"))).await.expect(200);
    assert_eq!(two["previous_response_id"], one["id"]);
    assert_eq!(session_of(&server, &two).await, session_of(&server, &one).await);
    assert_eq!(text(&two).matches("Be brief.").count(), text(&one).matches("Be brief.").count() * 2);
    // The session has gone on since.
    let branch = server.post(RESPONSES, after(&one, "three")).await.expect(200);
    assert_ne!(session_of(&server, &branch).await, session_of(&server, &one).await);
    assert!(text(&branch).contains("three") && !text(&branch).contains("\"two\""), "{branch}");
    assert!(text(&branch).contains("Be brief."), "{branch}");
    // A client that sends everything again continues the session, too.
    let items = json!([
        { "role": "user", "content": "one" },
        { "type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
          "content": [{ "type": "output_text", "text": "four", "annotations": [] }] },
        { "type": "reasoning", "summary": [] },
        { "type": "function_call", "call_id": "c1", "name": "pay", "arguments": "{}" },
        { "type": "function_call_output", "call_id": "c1", "output": "paid" },
        { "role": "user", "content": [{ "type": "input_text", "text": "two" }, { "type": "input_image", "image_url": "x" }] },
        { "role": "user", "content": "end" },
    ]);
    let shown = server.post(RESPONSES, asked("ada", items)).await.expect(200);
    for part in ["four", "\\\"pay\\\"", "paid", "An image was here", "end"] {
        assert!(text(&shown).contains(part), "{part}: {shown}");
    }
}

#[tokio::test]
async fn what_goes_wrong_is_said_in_openais_format() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let one = server.post(RESPONSES, asked("ada", json!("one"))).await.expect(200);
    let mut with_tools = asked("ada", json!("go"));
    with_tools["tools"] = json!([{ "type": "function", "name": "f" }]);
    let unknown = json!({ "id": "resp_019b7c5e-8f00-7000-8000-000000000002" });
    let mut other_agent = after(&one, "go");
    other_agent["model"] = json!("bob");
    server.offline("bob", "echo").await;
    for (body, field) in [
        (with_tools, "tools"),
        (asked("ada", json!([])), "input"),
        (json!({ "model": "ada" }), "input"),
        (asked("ada", json!([{ "content": "x" }])), "input[0]"),
        (after(&unknown, "go"), "previous_response_id"),
        (after(&json!({ "id": "x" }), "go"), "previous_response_id"),
        (other_agent, "previous_response_id"),
    ] {
        let answer = server.post(RESPONSES, body).await;
        assert_eq!(answer.body["error"]["param"], field, "{answer:?}");
        answer.error(400, "invalid_input");
    }
    server.post(RESPONSES, asked("nobody", json!("go"))).await.error(404, "agent_not_found");
    server.get(&path(&unknown)).await.error(404, "response_not_found");
    // A response belongs to its token.
    let token = server.token(None, &["runs:write"]).await;
    let with = |method: Method, path: &str| server.request(method, path).bearer_auth(&token);
    send(with(Method::GET, &path(&one))).await.error(404, "response_not_found");
    send(with(Method::POST, RESPONSES).json(&after(&one, "go"))).await.error(400, "invalid_input");
    // A run that fails.
    let error = json!({ "error": { "kind": "refused", "message": "sorry" } });
    server.scripted_with("eve", json!({ "steps": [error], "repeat": true }), json!({})).await;
    server.post(RESPONSES, asked("eve", json!("go"))).await.error(400, "content_refused");
    let events = streamed(&server, asked("eve", json!("go"))).await;
    let (kind, last) = events.last().unwrap();
    assert_eq!((kind.as_str(), &last["response"]["error"]["code"]), ("response.failed", &json!("content_refused")));
    let failed = server.get(&path(&last["response"])).await.expect(200);
    assert_eq!((&failed["status"], &failed["error"]), (&json!("failed"), &last["response"]["error"]));
}

#[tokio::test]
async fn a_response_in_the_background_is_fetched_cancelled_and_deleted() {
    let server = Server::start().await;
    server.scripted("ada", json!([{ "text": "late", "delay_ms": 50_000 }])).await;
    let mut body = asked("ada", json!("go"));
    body["background"] = json!(true);
    let queued = server.post(RESPONSES, body.clone()).await.expect(200);
    assert!(["queued", "in_progress"].contains(&queued["status"].as_str().unwrap()), "{queued}");
    assert_eq!(queued["output"], json!([]));
    // The same again is another response.
    let other = server.post(RESPONSES, body).await.expect(200);
    assert_ne!(other["id"], queued["id"]);
    server.post(RESPONSES, after(&queued, "more")).await.error(400, "invalid_input");
    server.events("after=0").await.until("model.request").await;
    let cancel = format!("{}/cancel", path(&queued));
    let cancelled = server.post(&cancel, json!({})).await.expect(200);
    assert_eq!(cancelled["status"], "cancelled");
    let deleted = send(server.request(Method::DELETE, &path(&queued))).await.expect(200);
    assert_eq!(deleted, json!({ "id": queued["id"], "object": "response", "deleted": true }));
    server.get(&path(&queued)).await.error(404, "response_not_found");
}

#[tokio::test]
async fn a_response_has_the_form_that_the_client_asks_for() {
    let server = Server::start().await;
    server.scripted("ada", json!([{ "text": "Three." }, { "text": "{\"words\": 3}", "stream": true }])).await;
    let schema = json!({ "type": "object", "properties": { "words": { "type": "integer" } }, "required": ["words"] });
    let mut body = asked("ada", json!("count"));
    body["text"] = json!({ "format": { "type": "json_schema", "name": "count", "schema": schema, "strict": true } });
    let response = server.post(RESPONSES, body.clone()).await.expect(200);
    assert_eq!((text(&response), &response["text"]["format"]["schema"]), ("{\"words\": 3}", &schema));
    // Nothing is passed on before it is known to fit.
    let events = streamed(&server, body).await;
    let told: String = events.iter().filter_map(|(_, event)| event["delta"].as_str()).collect();
    assert_eq!(told, "{\"words\": 3}");
}
