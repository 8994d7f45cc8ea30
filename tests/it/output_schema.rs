//! `output_schema` of a run and `response_format` of a chat completion: answers that are JSON of a certain form.

use std::sync::{Arc, Mutex};

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::post,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    chat::{CHAT, Pieces, asked, content, streamed},
    commands::Shell,
    harness::{Server, send},
    llm,
};

/// Schemas of the kinds that services document, each with an answer that fits it, and one that does not at `place`.
const SCHEMAS: &str = include_str!("data/output_schemas.json");

/// A town, which has a name and may have a number of inhabitants.
pub(crate) fn town() -> Value {
    json!({
        "type": "object", "properties": { "name": { "type": "string" }, "inhabitants": { "type": "integer" } },
        "required": ["name"], "additionalProperties": false,
    })
}

async fn run(server: &Server, agent: &str, schema: &Value) -> Value {
    let request = server.request(Method::POST, &format!("/v1/agents/{agent}/runs")).header("Prefer", "wait=60");
    send(request.json(&json!({ "task": "go", "output_schema": schema }))).await.expect(201)
}

async fn history(server: &Server, agent: &str) -> Vec<Value> {
    server.get(&format!("/v1/agents/{agent}/history")).await.expect(200).as_array().unwrap().clone()
}

#[tokio::test]
async fn schemas_of_all_kinds_are_held_to() {
    let cases: Vec<Value> = serde_json::from_str(SCHEMAS).unwrap();
    assert_eq!(cases.len(), 30);
    let text = |answer: &Value| answer.as_str().map_or_else(|| answer.to_string(), str::to_owned);
    let steps: Vec<Value> = cases
        .iter()
        .flat_map(|case| [json!({ "text": text(&case["wrong"]) }), json!({ "text": text(&case["fits"]) })])
        .collect();
    let server = Server::start().await;
    server.scripted("ada", json!(steps)).await;
    for case in &cases {
        let ended = run(&server, "ada", &case["schema"]).await;
        assert_eq!(ended["output_json"], case["fits"], "{case}: {ended}");
        let run_id = ended["run_id"].as_str().unwrap();
        let messages = server.get(&format!("/v1/agents/ada/history?run_id={run_id}")).await.expect(200);
        let messages = messages.as_array().unwrap();
        let roles: Vec<_> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["user", "assistant", "user", "assistant"], "{case}");
        let (told, place) = (messages[2]["content"].as_str().unwrap(), case["place"].as_str().unwrap());
        assert!(place.is_empty() || told.contains(&format!("`{place}`: it ")), "{case}: {told}");
    }
}

#[tokio::test]
async fn a_model_that_answers_wrong_once_is_asked_again() {
    let server = Server::start().await;
    let fits = "```json\n{\"name\": \"Bern\", \"inhabitants\": 137000}\n```\n";
    server.scripted("ada", json!([{ "text": "It is Bern." }, { "text": fits }])).await;
    let ended = run(&server, "ada", &town()).await;
    let value = json!({ "name": "Bern", "inhabitants": 137_000 });
    assert_eq!((&ended["status"], &ended["output_json"]), (&json!("completed"), &value), "{ended}");
    // The output is the text of the value, without the fence around it.
    assert_eq!(ended["output"], "{\"name\": \"Bern\", \"inhabitants\": 137000}");
    let messages = history(&server, "ada").await;
    assert_eq!((&messages[1]["content"], &messages[3]["content"]), (&json!("It is Bern."), &json!(fits)));
    let told = messages[2]["content"].as_str().unwrap();
    assert!(told.contains("it is not JSON: expected value at line 1 column 1"), "{told}");
    // Every way to the run has the value.
    let id = ended["run_id"].as_str().unwrap();
    let detail = server.get(&format!("/v1/agents/ada/runs/{id}")).await.expect(200);
    assert_eq!((&detail["output_json"], &detail["usage"]["steps"]), (&value, &json!(2)));
    assert_eq!(server.get("/v1/runs").await.expect(200)[0]["output_json"], value);
    let events = server.events("after=0&agent_id=ada&event_type=run.completed").await.until("run.completed").await;
    assert_eq!(events[0].data["payload"]["output_json"], value);
}

#[tokio::test]
async fn a_model_that_answers_wrong_twice_fails_the_run() {
    let server = Server::start().await;
    let wrong = json!({ "text": "{\"name\": 7, \"mayor\": \"Ada\"}" });
    server.scripted_with("ada", json!({ "steps": [wrong], "repeat": true }), json!({})).await;
    let ended = run(&server, "ada", &town()).await;
    assert_eq!((&ended["status"], &ended["error"]["code"]), (&json!("failed"), &json!("output_invalid")), "{ended}");
    let message = ended["error"]["message"].as_str().unwrap();
    assert!(message.contains("`name`: it is a number") && message.contains("`mayor`: it is not known"), "{message}");
    assert_eq!((&ended["output"], &ended["output_json"]), (&Value::Null, &Value::Null));
    assert_eq!(history(&server, "ada").await.len(), 4);
    let id = ended["run_id"].as_str().unwrap();
    let detail = server.get(&format!("/v1/agents/ada/runs/{id}")).await.expect(200);
    assert_eq!(detail["usage"]["steps"], 2, "{detail}");
    // A run without a schema has no value, even if its output is JSON.
    server.scripted("bob", json!([{ "text": "{\"a\": 1}" }])).await;
    let plain = server.run("bob", "go").await;
    assert_eq!((&plain["output"], &plain["output_json"]), (&json!("{\"a\": 1}"), &Value::Null));
}

#[tokio::test]
async fn limits_hold_over_the_second_answer() {
    let server = Server::start().await;
    let config = json!({ "steps": [{ "text": "no" }, { "text": "{\"name\": \"Bern\"}" }] });
    server.scripted_with("ada", config, json!({ "max_steps": 1 })).await;
    let ended = run(&server, "ada", &town()).await;
    assert_eq!(ended["error"]["code"], "step_limit", "{ended}");
}

#[tokio::test]
async fn a_second_answer_comes_after_a_restart_too() {
    let server = Server::start().await;
    let steps = json!([{ "text": "no" }, { "text": "no", "delay_ms": 3000 }, { "text": "{\"name\": \"Bern\"}" }]);
    server.scripted("ada", steps).await;
    let mut events = server.events("agent_id=ada").await;
    let body = json!({ "task": "go", "output_schema": town() });
    let id = server.post("/v1/agents/ada/runs", body).await.expect(201)["run_id"].as_str().unwrap().to_owned();
    events.until("message.assistant").await;
    events.until("model.request").await;
    let server = Server::at(server.stop().await, |_| {}).await;
    let mut events = server.events("after=0&agent_id=ada").await;
    events.until("run.failed").await;
    let ended = server.get(&format!("/v1/agents/ada/runs/{id}")).await.expect(200);
    assert_eq!(ended["error"]["code"], "output_invalid", "{ended}");
}

#[tokio::test]
async fn tools_are_called_before_the_answer() {
    let server = Server::start().await;
    let call = json!({ "name": "text__word_count", "arguments": { "text": "a b c" } });
    let steps = json!([{ "text": "Let me count.", "tool_calls": [call] }, { "text": "{\"name\": \"Bern\"}" }]);
    server.scripted("ada", steps).await;
    server.install("ada", "text").await;
    let ended = run(&server, "ada", &town()).await;
    assert_eq!(ended["output_json"], json!({ "name": "Bern" }), "{ended}");
    assert_eq!(history(&server, "ada").await.len(), 4);
}

#[tokio::test]
async fn the_model_is_told_and_the_service_gets_the_schema() {
    let server = Server::start().await;
    server.scripted_with("ada", json!({ "steps": [{ "record": true }], "repeat": true }), json!({})).await;
    server.patch("/v1/agents/ada", json!({ "persona": "You are Ada." })).await.expect(200);
    let object = json!({ "type": "object", "required": ["model"] });
    let request = run(&server, "ada", &object).await["output_json"].clone();
    assert_eq!(request["response_schema"], object.to_string());
    // What a client says does not stand beside the persona.
    assert_eq!(request["system"], "You are Ada.");
    let told = request["messages"][0]["text"].as_str().unwrap();
    assert!(told.starts_with("go") && told.ends_with(&format!("{object}]")), "{told}");
    assert_eq!(history(&server, "ada").await[0]["content"], "go");
    // Services take schemas of objects only.
    let request = run(&server, "ada", &json!(true)).await["output_json"].clone();
    assert_eq!(request["response_schema"], Value::Null);
    assert!(request["messages"][2]["text"].as_str().unwrap().ends_with(": true]"), "{request}");
}

/// Creates an agent of a service in OpenAI's form, which refuses a schema beside tools if `is_strict`. Returns the bodies
/// of the requests.
async fn service(server: &Server, agent: &str, is_strict: bool) -> Arc<Mutex<Vec<Value>>> {
    let bodies = Arc::<Mutex<Vec<Value>>>::default();
    let kept = Arc::clone(&bodies);
    let answer = async move |Json(body): Json<Value>| -> Response {
        kept.lock().unwrap().push(body.clone());
        if is_strict && body.get("tools").is_some() && body.get("response_format").is_some() {
            let message = "Function calling with a response mime type: 'application/json' is unsupported";
            return (StatusCode::BAD_REQUEST, Json(json!({ "error": { "message": message } }))).into_response();
        }
        let choice = json!({ "index": 0, "delta": { "content": "{\"name\": \"Bern\"}" }, "finish_reason": "stop" });
        let events = format!("data: {}\n\ndata: [DONE]\n\n", json!({ "choices": [choice] }));
        ([("Content-Type", "text/event-stream")], events).into_response()
    };
    llm::served(server, agent, post(answer)).await;
    bodies
}

#[tokio::test]
async fn a_schema_goes_to_a_service_in_its_own_form() {
    let server = Server::start().await;
    let mut closed = town();
    closed["required"] = json!(["name", "inhabitants"]);
    closed["properties"]["inhabitants"]["type"] = json!(["integer", "null"]);
    let bodies = service(&server, "ada", false).await;
    for (schema, strict) in [(&closed, true), (&town(), false)] {
        run(&server, "ada", schema).await;
        let held = json!({ "name": "answer", "strict": strict, "schema": schema });
        let asked = bodies.lock().unwrap().last().unwrap().clone();
        assert_eq!(asked["response_format"], json!({ "type": "json_schema", "json_schema": held }));
        assert!(asked["tools"].is_array(), "{asked}");
    }
    let mut body = asked("ada", "go");
    body["response_format"] = json!({ "type": "json_object" });
    assert_eq!(content(&server.post(CHAT, body).await.expect(200)), "{\"name\": \"Bern\"}");
    assert_eq!(bodies.lock().unwrap().last().unwrap()["response_format"], json!({ "type": "json_object" }));
}

#[tokio::test]
async fn a_service_that_refuses_a_schema_beside_tools_gets_the_tools() {
    let server = Server::start().await;
    let bodies = service(&server, "ada", true).await;
    for _ in 0..2 {
        assert_eq!(run(&server, "ada", &town()).await["output_json"], json!({ "name": "Bern" }));
    }
    let sent: Vec<_> = bodies.lock().unwrap().iter().map(|body| body.get("response_format").is_some()).collect();
    assert_eq!(sent, [true, false, false]);
    let last = bodies.lock().unwrap().last().unwrap().clone();
    assert!(last["messages"][2]["content"].as_str().unwrap().ends_with(&format!("{}]", town())), "{last}");
    // A chat has no `ask_user`, and so no tools.
    let mut body = asked("ada", "go");
    body["response_format"] = schema_format();
    server.post(CHAT, body).await.expect(200);
    let last = bodies.lock().unwrap().last().unwrap().clone();
    assert_eq!((last.get("tools"), &last["response_format"]["type"]), (None, &json!("json_schema")));
}

#[tokio::test]
async fn a_wrong_schema_is_refused() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    for (schema, reason) in [
        (json!("object"), "`#` is no schema"),
        (json!([]), "`#` is no schema"),
        (json!({ "properties": { "a": { "type": "text" } } }), "`#/properties/a/type`"),
        (json!({ "required": "a" }), "`#/required`"),
        (json!({ "$ref": "https://example.com/town.json" }), "nothing is fetched"),
        (json!({ "items": { "$ref": "#/$defs/none" } }), "`#/items/$ref`"),
        (json!({ "description": "x".repeat(70_000) }), "the limit is 65536"),
    ] {
        let body = json!({ "task": "go", "output_schema": schema });
        let answer = server.post("/v1/agents/ada/runs", body).await;
        assert_eq!(answer.body["details"][0]["field"], "output_schema", "{answer:?}");
        let told = answer.error(400, "invalid_input");
        assert!(told.contains(reason), "{told}");
        let mut body = asked("ada", "go");
        body["response_format"] = json!({ "type": "json_schema", "json_schema": { "name": "a", "schema": schema } });
        let answer = server.post(CHAT, body).await;
        assert_eq!(answer.body["error"]["param"], "response_format", "{answer:?}");
        assert!(answer.error(400, "invalid_input").contains(reason));
    }
    let deep = (0..70).fold(json!({}), |inner, _| json!({ "items": inner }));
    let body = json!({ "task": "go", "output_schema": deep });
    server.post("/v1/agents/ada/runs", body).await.error(400, "invalid_input");
    let body = json!({ "task": "go", "output_schema": null });
    server.post("/v1/agents/ada/runs", body).await.expect(201);
    assert_eq!(server.get("/v1/agents/ada/runs").await.expect(200).as_array().unwrap().len(), 1);
}

/// Returns a request for an answer of this form.
fn formatted(agent: &str, format: Value) -> Value {
    let mut body = streamed(agent);
    body["response_format"] = format;
    body
}

/// Returns the same request without a stream.
fn whole(body: &Value) -> Value {
    let mut body = body.clone();
    (body["stream"], body["stream_options"]) = (json!(false), Value::Null);
    body
}

fn schema_format() -> Value {
    json!({ "type": "json_schema", "json_schema": { "name": "town", "strict": true, "schema": town() } })
}

#[tokio::test]
async fn a_chat_answer_is_the_valid_json_alone() {
    let server = Server::start().await;
    let call = json!({ "name": "text__word_count", "arguments": { "text": "a b c" } });
    let steps = json!([
        { "text": "Let me count.", "tool_calls": [call], "stream": true },
        { "text": "It is Bern.", "stream": true },
        { "text": "```json\n{\"name\": \"Bern\"}\n```", "stream": true },
    ]);
    server.scripted("ada", steps).await;
    server.install("ada", "text").await;
    let body = formatted("ada", schema_format());
    let answer = server.post(CHAT, whole(&body)).await.expect(200);
    assert_eq!(content(&answer), "{\"name\": \"Bern\"}");
    let (frames, done) = Pieces::of(&server, &body).await.rest().await;
    let texts = frames.iter().filter_map(|frame| frame["choices"][0]["delta"]["content"].as_str());
    let texts: Vec<_> = texts.filter(|text| !text.is_empty()).collect();
    assert_eq!((texts, done), (vec!["{\"name\": \"Bern\"}"], true));
    // A conversation with the answer continues its session.
    let mut next = asked("ada", "go");
    let messages = next["messages"].as_array_mut().unwrap();
    messages.push(json!({ "role": "assistant", "content": "{\"name\": \"Bern\"}" }));
    messages.push(json!({ "role": "user", "content": "And then?" }));
    server.post(CHAT, next).await;
    let runs = server.get("/v1/agents/ada/runs").await.expect(200);
    let sessions: Vec<_> = runs.as_array().unwrap().iter().map(|run| &run["session_id"]).collect();
    assert!(sessions.len() == 3 && sessions[1..].contains(&sessions[0]), "{sessions:?}");
}

#[tokio::test]
async fn a_chat_answer_that_does_not_fit_is_an_error() {
    let server = Server::start().await;
    let config = json!({ "steps": [{ "text": "[\"Bern\"]", "stream": true }], "repeat": true });
    server.scripted_with("ada", config, json!({})).await;
    for format in [schema_format(), json!({ "type": "json_object" })] {
        let body = formatted("ada", format);
        let answer = server.post(CHAT, whole(&body)).await;
        assert_eq!(answer.headers["x-should-retry"], "false");
        let told = answer.error(400, "output_invalid");
        assert!(told.contains("it is an array"), "{told}");
        let (frames, done) = Pieces::of(&server, &body).await.rest().await;
        let (last, before) = frames.split_last().unwrap();
        assert_eq!((&last["error"]["code"], done), (&json!("output_invalid"), false), "{frames:?}");
        assert!(before.iter().all(|frame| frame["choices"][0]["delta"]["content"] == ""), "{before:?}");
    }
    for format in [json!({ "type": "grammar" }), json!({}), json!("json")] {
        let answer = server.post(CHAT, formatted("ada", format)).await;
        assert_eq!(answer.body["error"]["param"], "response_format", "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_prints_the_json() {
    let server = Server::start().await;
    let file = server.home.path().join("town.json");
    std::fs::write(&file, town().to_string()).unwrap();
    server
        .scripted("ada", json!([{ "text": "It is Bern.", "stream": true }, { "text": "{\"name\": \"Bern\"}" }]))
        .await;
    let shell = Shell(&server);
    let printed = shell.prints(&["run", "ada", "go", "--schema", file.to_str().unwrap()]).await;
    assert_eq!(printed, "{\"name\": \"Bern\"}\n");
    let told = shell.fails(&["run", "ada", "go", "--schema", "/nonexistent"], 2).await;
    assert!(told.contains("Cannot read the schema /nonexistent"), "{told}");
}
