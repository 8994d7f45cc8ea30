//! Answers of LLM services as they were seen in public bug reports, and what becomes of each. `make test` prints the
//! table.

mod fields;
mod refusals;
mod streams;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::{
    harness::{Server, send},
    outcomes::outcome,
    peer,
};

/// A request, with what the service was asked before.
struct Asked {
    body: Value,
    /// Number of requests of the case before this one.
    before: usize,
}

impl Asked {
    fn messages(&self) -> &[Value] {
        self.body["messages"].as_array().unwrap()
    }

    /// Number of messages of the model.
    fn turns(&self) -> usize {
        self.messages().iter().filter(|message| message["role"] == "assistant").count()
    }

    /// The calls of all messages.
    fn calls(&self) -> Vec<&Value> {
        self.messages().iter().flat_map(|message| message["tool_calls"].as_array().into_iter().flatten()).collect()
    }

    fn has(&self, field: &str) -> bool {
        self.body.get(field).is_some()
    }
}

fn status(code: u16, body: Value) -> Response {
    let body = (StatusCode::from_u16(code).unwrap(), [("content-type", "application/json")], body.to_string());
    body.into_response()
}

fn refuse(message: &str) -> Response {
    status(400, json!({ "error": { "message": message, "type": "invalid_request_error" } }))
}

fn events(text: impl Into<Body>) -> Response {
    ([("content-type", "text/event-stream")], text.into()).into_response()
}

/// A stream of these values, and the end.
fn values(values: &[Value]) -> Response {
    let lines: String = values.iter().map(|value| format!("data: {value}\n\n")).collect();
    events(lines + "data: [DONE]\n\n")
}

fn piece(delta: Value, finish: Value) -> Value {
    json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
}

fn says(text: &str) -> Response {
    values(&[piece(json!({ "role": "assistant", "content": text }), Value::Null), piece(json!({}), json!("stop"))])
}

fn call(id: Value, arguments: Value) -> Value {
    json!({ "index": 0, "id": id, "type": "function",
            "function": { "name": "text__word_count", "arguments": arguments } })
}

fn good_call(id: &str) -> Value {
    call(json!(id), json!("{\"text\": \"a b\"}"))
}

fn calls(calls: Value) -> Response {
    values(&[
        piece(json!({ "content": null, "tool_calls": calls }), Value::Null),
        piece(json!({}), json!("tool_calls")),
    ])
}

/// `done` after a call with this piece.
fn call_and_done(asked: &Asked, call: Value) -> Response {
    if asked.turns() > 0 { says("done") } else { calls(json!([call])) }
}

/// A stream with pauses before its pieces.
fn slowly(pieces: Vec<(u64, String)>) -> Response {
    let pieces = stream::iter(pieces).then(|(pause, text)| async move {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        Ok::<_, std::io::Error>(Bytes::from(text))
    });
    events(Body::from_stream(pieces))
}

fn line(value: &Value) -> String {
    format!("data: {value}\n\n")
}

/// The output that is right, or the code of the failure with a part of its message.
enum Right {
    Output(&'static str),
    Failure(&'static str, &'static str),
}
use Right::{Failure, Output};

type Serve = fn(&Asked) -> Response;
/// Its name, the service, and the right result.
type Case = (&'static str, Serve, Right);

const WHOLE: &str = r#"data: {"choices": [{"index": 0, "delta": {"content": "whole"}, "finish_reason": null}]}

data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}"#;

fn cases() -> impl Iterator<Item = &'static Case> {
    streams::CASES.iter().chain(fields::CASES).chain(refusals::CASES)
}

#[derive(Clone)]
struct Service(Arc<Mutex<HashMap<String, usize>>>);

async fn answer(State(service): State<Service>, Path(case): Path<usize>, body: String) -> Response {
    let before = {
        let mut asked = service.0.lock().unwrap();
        let count = asked.entry(case.to_string()).or_default();
        std::mem::replace(count, *count + 1)
    };
    (cases().nth(case).unwrap().1)(&Asked { body: serde_json::from_str(&body).unwrap(), before })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_services_really_send_has_its_right_result() {
    let routes = Router::new()
        .route("/{case}/v1/chat/completions", post(answer))
        .route("/{case}/v1/models", get(|| async { axum::Json(json!({ "data": [{ "id": "m" }] })) }))
        .with_state(Service(Arc::default()));
    let service = peer::Peer::new(routes).await;
    let server = Server::with(|config| config.runs.retries = 2).await;
    let runs = cases().enumerate().map(|(number, &(name, _, ref right))| {
        let (server, url) = (&server, service.url(&format!("/{number}/v1")));
        async move {
            let id = format!("case-{number}");
            let install = json!({ "id": id, "component": { "bundled": "openai" }, "accept": "all", "config": { "base_url": url } });
            server.post("/v1/providers", install).await.expect(201);
            let agent = json!({ "name": id, "provider": id, "model": "m", "persona": "You are brief.", "temperature": 0.5 });
            server.post("/v1/agents", agent).await.expect(201);
            server.install(&id, "text").await;
            let start = server.request(reqwest::Method::POST, &format!("/v1/agents/{id}/runs")).header("Prefer", "wait=60");
            let run = send(start.json(&json!({ "task": "go" }))).await.expect(201);
            let detail = server.get(&format!("/v1/runs/{}", run["run_id"].as_str().unwrap())).await.expect(200);
            assert_eq!(detail["usage"]["reserved_tokens"], 0, "{name}: {detail}");
            let message = run["error"]["message"].as_str().unwrap_or_default();
            let is_right = match right {
                Output(output) => run["output"] == *output,
                Failure(code, part) => run["error"]["code"] == *code && message.contains(*part),
            };
            let shown = run["output"].as_str().unwrap_or(message).to_owned();
            outcome(&format!("service: {name}"), &shown);
            (!is_right).then(|| format!("{name}: {run}"))
        }
    });
    let wrong: Vec<_> = stream::iter(runs).buffer_unordered(8).filter_map(std::future::ready).collect().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_tested_against_its_real_service() {
    let respond = |body: &Value| {
        let asked = Asked { body: body.clone(), before: 0 };
        if asked.has("stream_options") {
            return refuse("Unknown parameter: 'stream_options'.");
        }
        match asked.has("tools") {
            true => values(&[piece(json!({ "tool_calls": [good_call("c1")] }), json!("tool_calls"))]),
            false => values(&[
                piece(json!({ "content": "one " }), Value::Null),
                piece(json!({ "content": "two" }), json!("stop")),
            ]),
        }
    };
    let routes = Router::new()
        .route("/v1/chat/completions", post(move |axum::Json(body): axum::Json<Value>| async move { respond(&body) }))
        .route("/v1/models", get(|| async { axum::Json(json!({ "data": [{ "id": "m" }] })) }));
    let service = peer::Peer::new(routes).await;
    let server = Server::start().await;
    let install = |id: &str, url: String| json!({ "id": id, "component": { "bundled": "openai" }, "accept": "all", "config": { "base_url": url } });
    server.post("/v1/providers", install("good", service.url("/v1"))).await.expect(201);
    let report = server.post("/v1/providers/good/test", json!({})).await.expect(200);
    let outcomes = |report: &Value| -> Vec<_> {
        let tests = report["tests"].as_array().unwrap().iter();
        tests.map(|test| (test["name"].as_str().unwrap().to_owned(), test["passed"] == true)).collect()
    };
    let all = |passed: [bool; 4]| {
        ["models", "completion", "streaming", "tool_call"]
            .map(str::to_owned)
            .into_iter()
            .zip(passed)
            .collect::<Vec<_>>()
    };
    assert_eq!(outcomes(&report), all([true; 4]), "{report}");
    assert_eq!((&report["model"], &report["adaptations"]), (&json!("m"), &json!(["no-stream-options"])));
    // What was learned is remembered.
    let asked = service.asked();
    server.post("/v1/providers/good/test", json!({ "model": "m" })).await.expect(200);
    assert_eq!(service.asked() - asked, 3);
    server.post("/v1/providers", install("down", "http://127.0.0.1:9/v1".to_owned())).await.expect(201);
    let report = server.post("/v1/providers/down/test", json!({ "model": "m" })).await.expect(200);
    assert_eq!(outcomes(&report), all([false; 4]), "{report}");
    let message = report["tests"][1]["message"].as_str().unwrap();
    assert!(message.contains("http://127.0.0.1:9/v1") && message.contains("--set base_url=URL"), "{message}");
    let shell = crate::commands::Shell(&server);
    let printed = shell.prints(&["provider", "test", "good"]).await;
    server.post("/v1/agents", json!({ "name": "ada", "provider": "good", "model": "m" })).await.expect(201);
    let option = ["agent", "update", "ada", "--option", "top_p=0.5", "--option", "stop=[\"END\"]"];
    let shown = shell.prints(&option).await;
    assert!(shown.contains("Options") && shown.contains("top_p 0.5"), "{shown}");
    let taken_away = shell.prints(&["agent", "update", "ada", "--option", "top_p=null", "--model", "other"]).await;
    assert!(taken_away.contains("stop [\"END\"]") && !taken_away.contains("top_p"), "{taken_away}");
    assert!(printed.starts_with("Model: m\n") && printed.contains("no-stream-options"), "{printed}");
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused_with_what_to_do() {
    let server = Server::start().await;
    let cases = [
        (json!({ "base_url": "api.example.com/v1" }), "base_url", "as in https://api.example.com/v1"),
        (json!({ "base_url": "127.0.0.1:8080/v1" }), "base_url", "as in http://127.0.0.1:8080/v1"),
        (json!({ "base_url": "localhost:8080" }), "base_url", "as in http://localhost:8080"),
        (json!({ "base_url": "ftp://example.com" }), "base_url", "as in https://example.com"),
        (json!({ "base_url": " https://example.com/v1" }), "base_url", "as in https://example.com/v1"),
        (json!({ "base_url": "" }), "base_url", "begins with https://"),
        (json!({ "headers": { "X-Api-Key": "abc" } }), "headers.X-Api-Key", "POST /v1/vault/secrets"),
        (json!({ "query": { "key": "abc" } }), "query.key", "POST /v1/vault/secrets"),
        (json!({ "body": { "api_key": "abc" } }), "body.api_key", "POST /v1/vault/secrets"),
    ];
    for (config, field, part) in cases {
        let install = json!({ "id": "x", "component": { "bundled": "openai" }, "accept": "all", "config": config });
        let refused = server.post("/v1/providers", install).await;
        assert_eq!(refused.body["details"][0]["field"], format!("config.{field}"), "{config}: {refused:?}");
        let message = refused.error(400, "invalid_input");
        assert!(message.contains(part), "{config}: {message}");
    }
}
