//! Mistakes of operators, and the sentence that each of them sees: it names the option, the command or the right
//! spelling. `make test` prints the table.

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse as _, Redirect, Response},
    routing::{any, get, post},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Server, send},
    outcomes::outcome,
    peer::Peer,
};

const KEY: &str = "sk-live-Kq8vYw3nT5xZ1sD7Mb2c";
/// Keys and passwords in the attempts, which no sentence contains.
const SECRETS: [&str; 3] = [KEY, "sk-live-wrongwrongwrong0", "hunter2"];

/// A mistake, where the operator meets it, and parts of the sentence.
type Case = (&'static str, Attempt, &'static [&'static str]);

/// What the operator does.
enum Attempt {
    /// Installs the provider `openai` with this configuration, which is refused.
    Install(Value),
    /// Installs a provider with this configuration and tests it, which fails.
    Test(&'static str, Value),
    /// The same with this value as the key.
    Key(&'static str, Value),
    /// Installs the provider `openai` by a token without `vault:write`, and tests it.
    WithoutScope(Value),
    /// Creates an agent, which is refused.
    Agent(Value),
}
use Attempt::{Agent, Install, Key, Test, WithoutScope};

/// Addresses of the services.
struct Places {
    service: String,
    encrypted: String,
    closed: String,
}

fn refuse(status: u16, error: Value) -> Response {
    (StatusCode::from_u16(status).unwrap(), axum::Json(json!({ "error": error }))).into_response()
}

/// Answers as the service of a case does.
async fn answer(Path(case): Path<String>, headers: HeaderMap, body: String) -> Response {
    let message = |text: &str| json!({ "message": text });
    let expected = format!("Bearer {KEY}");
    let is_authorized = headers.get("authorization").is_some_and(|sent| sent.as_bytes() == expected.as_bytes());
    match &*case {
        "keyed" if !is_authorized => refuse(401, message("Incorrect API key provided")),
        "no-model" => refuse(404, json!({ "message": "The model `m` does not exist", "code": "model_not_found" })),
        "no-tools" if body.contains("\"tools\"") => refuse(400, message("m does not support tools")),
        "down" => (StatusCode::SERVICE_UNAVAILABLE, "upstream is down").into_response(),
        "loading" => refuse(503, message("Loading model")),
        "organization" => refuse(403, message("You are not a member of the organization org-7")),
        "quota" => refuse(
            429,
            json!({ "message": "You exceeded your current quota", "type": "insufficient_quota", "code": "insufficient_quota" }),
        ),
        "region" => refuse(
            403,
            json!({ "message": "Country, region, or territory not supported", "code": "unsupported_country_region_territory" }),
        ),
        "page" => Html("<html><head><title>Welcome</title></head></html>").into_response(),
        "elsewhere" => Redirect::temporary("https://elsewhere.example/v1").into_response(),
        _ => {
            let piece = json!({ "choices": [{ "delta": { "content": "fine" }, "finish_reason": "stop" }] });
            ([("content-type", "text/event-stream")], format!("data: {piece}\n\ndata: [DONE]\n\n")).into_response()
        }
    }
}

fn routes() -> Router {
    Router::new()
        .route("/{case}/v1/chat/completions", post(answer))
        .route("/{case}/v1/models", get(answer))
        .fallback(any(async || (StatusCode::NOT_FOUND, "404 page not found")))
}

fn url(url: &str) -> Value {
    json!({ "base_url": url })
}

fn with(option: &str, value: Value) -> Value {
    json!({ "base_url": "https://api.example.com/v1", option: value })
}

impl Places {
    /// The configuration for the service of a case.
    fn at(&self, case: &str) -> Value {
        url(&format!("{}/{case}/v1", self.service))
    }

    fn wrong_addresses(&self) -> Vec<Case> {
        let Self { service, encrypted, closed } = self;
        let (as_https, as_http) = (service.replace("http:", "https:"), encrypted.replace("https:", "http:"));
        let tested = |address: &str| Test("openai", url(address));
        vec![
            ("a closed port", tested(&format!("{closed}/v1")), &["is running", "--set base_url=URL"]),
            ("an unknown host", tested("https://nowhere.invalid/v1"), &["no address", "--set base_url=URL"]),
            ("HTTPS for HTTP", tested(&format!("{as_https}/good/v1")), &["--set base_url=http://", "/good/v1`"]),
            ("HTTP for HTTPS", tested(&format!("{as_http}/good/v1")), &["--set base_url=https://", "/good/v1`"]),
            ("no /v1", tested(&format!("{service}/good")), &["--set base_url=", "/good/v1`"]),
            ("an operation", tested(&format!("{service}/good/v1/chat/completions")), &["--set base_url=", "/good/v1`"]),
            ("Ollama's address without /v1", tested(service), &["--set base_url=", "/v1`"]),
            (
                "OpenAI's address for Ollama",
                Test("ollama", self.at("good")),
                &["base_url=", "/good`", "another component"],
            ),
            ("a page", Test("openai", self.at("page")), &["titled \"Welcome\"", "--set base_url="]),
            ("a redirect", Test("openai", self.at("elsewhere")), &["to https://elsewhere.example", "--set base_url="]),
            ("a host that nobody granted", WithoutScope(self.at("good")), &["this would", "\"accept\""]),
        ]
    }

    fn wrong_keys(&self) -> Vec<Case> {
        let keyed = || self.at("keyed");
        vec![
            ("a wrong key", Key("sk-live-wrongwrongwrong0", keyed()), &["moxxy secret rotate"]),
            ("no key", Test("openai", keyed()), &["POST /v1/vault/secrets", "moxxy grant add"]),
            (
                "a key with a line end",
                Key(concat!("sk-live-Kq8vYw3nT5xZ1sD7Mb2c", "\n"), keyed()),
                &["without line ends"],
            ),
            ("a key in quotes", Key("\"sk-live-Kq8vYw3nT5xZ1sD7Mb2c\"", keyed()), &["without `Bearer`, quotes"]),
            ("`Bearer` in the key", Key("Bearer sk-live-Kq8vYw3nT5xZ1sD7Mb2c", keyed()), &["without `Bearer`"]),
        ]
    }

    fn refusals_of_services(&self) -> Vec<Case> {
        let tested = |case: &str| Test("openai", self.at(case));
        vec![
            ("no such model", tested("no-model"), &["moxxy provider models", "`m`"]),
            ("a model without tools", tested("no-tools"), &["choose a model that calls tools"]),
            ("a service that is down", tested("down"), &["upstream is down", "--fallback"]),
            ("a model that is loading", tested("loading"), &["Loading model", "try again"]),
            ("another organization", tested("organization"), &["org-7", "--set organization="]),
            ("an exceeded quota", tested("quota"), &["needs quota or credit"]),
            ("a blocked region", tested("region"), &["use another service"]),
        ]
    }
}

/// Configurations that are refused before anything is asked.
fn wrong_options() -> Vec<Case> {
    let no_such = json!({ "provider": "opnai", "model": "m" });
    let no_such_fallback = json!({ "provider": "x", "model": "m", "fallbacks": [no_such] });
    vec![
        ("no scheme", Install(url("api.example.com/v1")), &["as in https://api.example.com/v1"]),
        ("no scheme, local", Install(url("localhost:8080/v1")), &["as in http://localhost:8080/v1"]),
        ("ftp", Install(url("ftp://example.com/v1")), &["as in https://example.com/v1"]),
        ("an empty address", Install(url("")), &["base_url", "begins with https://"]),
        ("spaces around the address", Install(url(" https://a.example/v1 ")), &["as in https://a.example/v1"]),
        ("a space in the address", Install(url("https://a. example/v1")), &["as in https://a.example/v1"]),
        ("a password in the address", Install(url("https://me:hunter2@a.example/v1")), &["base_url", "vault/secrets"]),
        ("an address of another type", Install(json!({ "base_url": 7 })), &["base_url", "has to be a string"]),
        (
            "a key in headers",
            Install(with("headers", json!({ "X-Api-Key": KEY }))),
            &["headers.X-Api-Key", "vault/secrets"],
        ),
        ("a key in query", Install(with("query", json!({ "api_key": "abc" }))), &["query.api_key", "vault/secrets"]),
        ("a key in body", Install(with("body", json!({ "api_key": KEY }))), &["body.api_key", "vault/secrets"]),
        ("an unknown option", Install(with("base-url", json!("x"))), &["base-url", "known are", "`base_url`"]),
        ("an unknown profile", Install(with("profile", json!("openay"))), &["profile", "\"openai\""]),
        (
            "a window of 0",
            Install(with("models", json!([{ "id": "m", "context_window": 0 }]))),
            &["context_window", "at least 1"],
        ),
        ("no such provider", Agent(no_such), &["'opnai' not found", "moxxy provider list"]),
        ("no such provider to fall back to", Agent(no_such_fallback), &["'opnai' not found", "moxxy provider list"]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_is_answered_with_what_to_do() {
    let (service, encrypted) = (Peer::new(routes()).await, Peer::encrypted(routes()).await);
    let places = Places {
        service: format!("http://127.0.0.1:{}", service.port),
        encrypted: format!("https://127.0.0.1:{}", encrypted.port),
        closed: "http://127.0.0.1:9".to_owned(),
    };
    let server = Server::start().await;
    let mut wrong = Vec::new();
    let cases = [wrong_options(), places.wrong_addresses(), places.wrong_keys(), places.refusals_of_services()];
    for (number, (name, attempt, parts)) in cases.into_iter().flatten().enumerate() {
        let sentence = sentence(&server, &format!("case-{number}"), attempt).await;
        outcome(&format!("misconfigured: {name}"), &sentence);
        println!("{name}: {sentence}");
        let is_right =
            parts.iter().all(|part| sentence.contains(part)) && SECRETS.iter().all(|secret| !sentence.contains(secret));
        wrong.extend((!is_right).then(|| format!("{name}: {sentence}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Makes the attempt, and returns the sentence that the operator sees.
async fn sentence(server: &Server, id: &str, attempt: Attempt) -> String {
    let install = |component: &str, config: Value| json!({ "id": id, "component": { "bundled": component }, "accept": "all", "config": config });
    match attempt {
        Install(config) => refusal(server.post("/v1/providers", install("openai", config)).await),
        WithoutScope(config) => {
            let token = server.token(None, &["agents:write"]).await;
            let request = server.request(Method::POST, "/v1/providers").bearer_auth(token);
            send(request.json(&install("openai", config))).await.expect(201);
            tested(server, id).await
        }
        Agent(agent) => {
            let mut agent = agent;
            agent["name"] = json!(id);
            refusal(server.post("/v1/agents", agent).await)
        }
        Test(component, config) => {
            server.post("/v1/providers", install(component, config)).await.expect(201);
            tested(server, id).await
        }
        Key(value, config) => {
            let stored = server.post("/v1/vault/secrets", json!({ "name": id, "value": value })).await;
            if stored.status != StatusCode::CREATED {
                return stored.body["error"].as_str().unwrap_or_default().to_owned();
            }
            let mut install = install("openai", config);
            install["secrets"] = json!({ "key": id });
            server.post("/v1/providers", install).await.expect(201);
            tested(server, id).await
        }
    }
}

fn refusal(refused: Answer) -> String {
    if !refused.status.is_client_error() {
        return format!("not refused: {}", refused.status);
    }
    refused.body["error"].as_str().unwrap_or_default().to_owned()
}

/// Returns the message of the first test that fails.
async fn tested(server: &Server, id: &str) -> String {
    let report = server.post(&format!("/v1/providers/{id}/test"), json!({ "model": "m" })).await.expect(200);
    let tests = report["tests"].as_array().unwrap().iter();
    let failed: Vec<&str> = tests
        .filter(|test| test["passed"] == false && test["name"] != "models" && test["name"] != "streaming")
        .filter_map(|test| test["message"].as_str())
        .collect();
    failed.first().copied().unwrap_or("everything works").to_owned()
}
