//! Test server on a free port, in its own data directory. All tests share the cache of compiled components, so
//! that each is compiled once.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use moxxy_server::{app::App, config::Config};
use moxxy_system::tasks::Tasks;
use moxxy_types::clock::Clock;
use reqwest::{
    Method, RequestBuilder, StatusCode,
    header::HeaderMap,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};

use crate::contract;

/// Timeout that exceeds every operation of the tests, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    pub url: String,
    pub home: TempDir,
    http: reqwest::Client,
    tasks: Tasks,
    serving: Option<JoinHandle<moxxy_types::error::Result<()>>>,
    code: Option<String>,
    loopback: bool,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

/// Stream of server-sent events.
pub(crate) struct Stream {
    response: reqwest::Response,
    buffer: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub id: Option<i64>,
    pub kind: String,
    pub data: Value,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::at(TempDir::new().unwrap(), change).await
    }

    /// Starts on a data directory that may have been used before.
    pub(crate) async fn at(home: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config(home.path());
        change(&mut config);
        Self::configured(home, config, Clock::system()).await
    }

    /// Starts with the test's own clock.
    pub(crate) async fn configured(home: TempDir, config: Config, clock: Clock) -> Self {
        let (tasks, config) = (Tasks::default(), Arc::new(config));
        let app = App::start(&config, clock, tasks.clone()).await.unwrap();
        let (code, loopback) = (app.access.bootstrap_code().map(str::to_owned), config.server.loopback);
        let listener = TcpListener::bind(("127.0.0.1", config.server.port)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = Some(tokio::spawn(moxxy_server::run(app, Arc::clone(&config), listener)));
        let http = http();
        Self { url, home, http, tasks, serving, code, loopback }
    }

    /// Starts with a clock that the test can advance. The returned value is its offset in seconds.
    pub(crate) async fn timed(change: impl FnOnce(&mut Config)) -> (Self, Arc<AtomicI64>) {
        let (home, later) = (TempDir::new().unwrap(), Arc::new(AtomicI64::new(0)));
        let (mut config, turned) = (config(home.path()), Arc::clone(&later));
        change(&mut config);
        let now = move || OffsetDateTime::now_utc() + time::Duration::seconds(turned.load(Ordering::SeqCst));
        (Self::configured(home, config, Clock::new(now)).await, later)
    }

    /// Returns the handle of a server in another process.
    pub(crate) fn elsewhere(url: String, home: TempDir) -> Self {
        let http = http();
        Self { url, home, http, tasks: Tasks::default(), serving: None, code: None, loopback: true }
    }

    /// Shuts down as on a signal, and returns the data directory.
    pub(crate) async fn stop(mut self) -> TempDir {
        self.tasks.shutdown().cancel();
        if let Some(serving) = self.serving.take() {
            timeout(PATIENCE, serving).await.expect("the shutdown takes too long").unwrap().unwrap();
            assert!(!self.home.path().join("moxxy.db-wal").exists(), "the database is one file after a clean stop");
        }
        std::mem::replace(&mut self.home, TempDir::new().unwrap())
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        send(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        send(self.request(Method::POST, path).json(&body)).await
    }

    /// Returns the one-time code that the start would have printed.
    pub(crate) fn bootstrap_code(&self) -> String {
        self.code.clone().expect("there was a token at the start")
    }

    /// Returns the address without its scheme.
    pub(crate) fn authority(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// Creates a token with these scopes and returns its text.
    pub(crate) async fn token(&self, by: Option<&str>, scopes: &[&str]) -> String {
        let mut request = self.request(Method::POST, "/v1/auth/tokens").json(&json!({ "scopes": scopes }));
        if let Some(token) = by {
            request = request.bearer_auth(token);
        } else if !self.loopback {
            request = request.bearer_auth(self.bootstrap_code());
        }
        send(request).await.expect(201)["token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        send(self.request(Method::PATCH, path).json(&body)).await
    }

    /// Creates an agent whose model plays back `steps`.
    pub(crate) async fn scripted(&self, agent: &str, steps: Value) {
        self.scripted_with(agent, json!({ "steps": steps }), json!({})).await;
    }

    pub(crate) async fn scripted_with(&self, agent: &str, config: Value, limits: Value) {
        let provider = json!({ "id": agent, "component": { "bundled": "script" }, "config": config });
        self.post("/v1/providers", provider).await.expect(201);
        let agent = json!({ "name": agent, "provider": agent, "model": "script", "limits": limits });
        self.post("/v1/agents", agent).await.expect(201);
    }

    /// Creates an agent with a model of the offline provider.
    pub(crate) async fn offline(&self, agent: &str, model: &str) {
        let provider = json!({ "id": "offline", "component": { "bundled": "offline" } });
        let installed = self.post("/v1/providers", provider).await;
        assert!([201, 409].contains(&installed.status.as_u16()), "{installed:?}");
        self.post("/v1/agents", json!({ "name": agent, "provider": "offline", "model": model })).await.expect(201);
    }

    pub(crate) async fn install(&self, agent: &str, bundled: &str) {
        let body = json!({ "source": { "bundled": bundled } });
        self.post(&format!("/v1/agents/{agent}/skills/install"), body).await.expect(201);
    }

    /// Uploads a component that only the tests use.
    pub(crate) async fn upload(&self, agent: &str, component: &str) -> Answer {
        self.upload_bytes(agent, std::fs::read(test_component(component)).unwrap()).await
    }

    pub(crate) async fn upload_bytes(&self, agent: &str, bytes: Vec<u8>) -> Answer {
        let path = format!("/v1/agents/{agent}/skills/install");
        send(self.request(Method::POST, &path).multipart(form(bytes, None))).await
    }

    /// Uploads a component with consent to all its requested permissions.
    pub(crate) async fn accepted(&self, agent: &str, component: &str) {
        let bytes = std::fs::read(test_component(component)).unwrap();
        let path = format!("/v1/agents/{agent}/skills/install");
        send(self.request(Method::POST, &path).multipart(form(bytes, Some("all")))).await.expect(201);
    }

    /// Upgrades a skill of the agent `ada`.
    pub(crate) async fn upgrade(&self, skill: &str, bytes: Vec<u8>, accept: Option<&str>) -> Answer {
        let path = format!("/v1/agents/ada/skills/{skill}");
        send(self.request(Method::PUT, &path).multipart(form(bytes, accept))).await
    }

    pub(crate) async fn invoke(&self, agent: &str, skill: &str, tool: &str, arguments: Value) -> Answer {
        let path = format!("/v1/agents/{agent}/skills/{skill}/invoke");
        self.post(&path, json!({ "tool": tool, "arguments": arguments })).await
    }

    /// Starts a run without waiting.
    pub(crate) async fn start_run(&self, agent: &str, body: Value) -> Value {
        self.post(&format!("/v1/agents/{agent}/runs"), body).await.expect(201)
    }

    /// Starts a run and waits until it has ended.
    pub(crate) async fn run(&self, agent: &str, task: &str) -> Value {
        let request = self.request(Method::POST, &format!("/v1/agents/{agent}/runs"));
        send(request.header("Prefer", "wait=60").json(&json!({ "task": task }))).await.expect(201)
    }

    pub(crate) async fn events(&self, query: &str) -> Stream {
        let response = self.request(Method::GET, &format!("/v1/events/stream?{query}")).send().await.unwrap();
        assert_eq!(response.status(), 200);
        Stream::of(response)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.shutdown().cancel();
        if !std::thread::panicking() {
            self.tasks.first_failure().expect("a background task died");
        }
    }
}

impl Answer {
    /// Returns the body of an answer with this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self.body
    }

    /// Returns the message of an error with this status and code, in the common format.
    #[track_caller]
    pub(crate) fn error(self, status: u16, code: &str) -> String {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.body["code"], code, "{self:?}");
        assert_eq!(self.body["request_id"], self.headers["x-request-id"].to_str().unwrap());
        let error = &self.body["error"];
        // On the routes of OpenAI's API it is an object.
        error["message"].as_str().or(error.as_str()).unwrap().to_owned()
    }
}

impl Stream {
    pub(crate) fn of(response: reqwest::Response) -> Self {
        Self { response, buffer: String::new() }
    }

    pub(crate) async fn next(&mut self) -> Option<Sent> {
        loop {
            while let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let data = field("data:").map(|data| serde_json::from_str(data).unwrap());
                let (id, kind) = (field("id:").map(|id| id.parse().unwrap()), field("event:"));
                let event = data.map(|data| Sent { id, kind: kind.unwrap().to_owned(), data });
                self.buffer = rest.to_owned();
                if event.is_some() {
                    return event;
                }
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await.expect("no event comes").ok()??;
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Skips the events before this question.
    pub(crate) async fn until_asked(&mut self, question: &str) {
        while let Some(event) = self.next().await {
            if event.kind == "ask.requested" && event.data["payload"]["question"] == question {
                return;
            }
        }
        panic!("the stream ended before {question:?} was asked");
    }

    /// Returns the events up to the first of this type.
    pub(crate) async fn until(&mut self, kind: &str) -> Vec<Sent> {
        let mut seen = Vec::new();
        while let Some(event) = self.next().await {
            let last = event.kind == kind;
            seen.push(event);
            if last {
                return seen;
            }
        }
        panic!("the stream ended before {kind}: {seen:?}");
    }
}

/// Sends a request and checks the answer against the OpenAPI document.
pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let (method, path) = (request.method().as_str().to_lowercase(), request.url().path().to_owned());
    let response = client.execute(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    contract::check(&method, &path, status.as_u16(), &body);
    Answer { status, headers, body }
}

/// Returns a client for plain HTTP, which needs none of the system's certificates.
pub(crate) fn http() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

/// Returns the form that uploads a component, with consent.
pub(crate) fn form(component: Vec<u8>, accept: Option<&str>) -> Form {
    let form = Form::new().part("component", Part::bytes(component).file_name("component.wasm"));
    match accept {
        Some(accept) => form.text("accept", accept.to_owned()),
        None => form,
    }
}

/// Returns a path below the build directory.
pub(crate) fn target(path: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(path)
}

pub(crate) fn test_component(name: &str) -> PathBuf {
    target(&format!("test-components/{name}.wasm"))
}

pub(crate) fn config(home: &Path) -> Config {
    let mut config = Config::at(home).unwrap();
    config.data.cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    config.data.master_key = serde_json::from_value(json!("5a".repeat(32))).unwrap();
    config.plugins.compiler = Some(env!("CARGO_BIN_EXE_moxxy").into());
    config.rate_limit.per_second = 1_000_000;
    config.rate_limit.burst = 1_000_000;
    config.server.port = 0;
    // Fail at once: a retry would only take time.
    config.runs.retries = 0;
    config.plugins.concurrent_skills = 8;
    config.plugins.concurrent_providers = 8;
    config
}
