//! Benchmark of the effect of slow schema validation on other requests.
//!
//! Measures `/v1/health` and new tokens at a steady rate, alone and during each attack by a tool call, a model
//! and a configuration, and how long the attacks take. `BENCH_SERVER` is the path of another version's program,
//! for comparison.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that cannot go on stops")]

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

/// Number of concurrent requests of each attack.
const ATTACKS: usize = 4;
/// Interval between other requests, whether or not the previous one was answered.
const PACE: Duration = Duration::from_millis(10);
/// Duration of the measurement without an attack.
const ALONE: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
}

impl Client {
    async fn send(&self, method: reqwest::Method, path: &str, body: Value) -> (u16, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.url)).header("Prefer", "wait=600");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.json(&body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(reqwest::Method::POST, path, body).await
    }

    async fn made(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.post(path, body).await;
        assert_eq!(status, 201, "{answer}");
        answer
    }
}

/// Returns the values that take longest to validate, by property of the slow components.
fn values() -> [(&'static str, Value); 8] {
    let zeros = |count| Value::from(vec![0; count]);
    let fields: Map<_, _> = (0..70_000).map(|number| (format!("{number:x}"), json!(1))).collect();
    let mut seed = 1_u32;
    let mut letter = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if seed >> 31 == 0 { 'a' } else { 'b' }
    };
    let mut text = |length: usize| (0..length).map(|_| letter()).collect::<String>();
    [
        ("references", zeros(90_000)),
        ("constant", zeros(90_000)),
        ("pattern", json!(text(900_000))),
        ("names", (0..200).map(|_| (text(4000), json!(1))).collect::<Map<_, _>>().into()),
        ("fields", fields.into()),
        ("items", zeros(400_000)),
        ("unique", json!([zeros(400_000)])),
        ("contains", zeros(400_000)),
    ]
}

#[tokio::main]
async fn main() {
    let home = tempfile::TempDir::new_in("/dev/shm").or_else(|_| tempfile::TempDir::new()).unwrap();
    let (mut server, client) = serve(home.path()).await;
    let (mut health, mut tokens) = beside(&client, tokio::time::sleep(ALONE)).await;
    let (health_base, token_base) = (percentile(&mut health, 99), percentile(&mut tokens, 99));
    println!(
        "{ATTACKS} of each side by side; p99 of others, and its ratio to {health_base:.1?} and {token_base:.1?} alone"
    );
    println!(
        "{:10} {:13} {:>11} {:>11} {:>22} {:>22}",
        "attack", "by", "first ended", "last ended", "/v1/health", "new token"
    );
    for (attack, value) in values() {
        let arguments = json!({ (attack): value });
        let model = format!("model-{attack}");
        let call = json!({ "tool_calls": [{ "name": "slow__take", "arguments": arguments }] });
        let config = json!({ "steps": [call, { "text": "done" }], "per_task": true });
        client
            .made("/v1/providers", json!({ "id": model, "component": { "bundled": "script" }, "config": config }))
            .await;
        client.made("/v1/agents", json!({ "name": model, "provider": model, "model": "script" })).await;
        upload(&client, &model).await;
        let invoke = json!({ "tool": "take", "arguments": arguments });
        let ways = [
            ("tool call", reqwest::Method::POST, "/v1/agents/ada/skills/slow/invoke".to_owned(), invoke),
            ("model", reqwest::Method::POST, format!("/v1/agents/{model}/runs"), json!({ "task": "go" })),
            ("configuration", reqwest::Method::PATCH, "/v1/providers/slow".to_owned(), json!({ "config": arguments })),
        ];
        for (way, method, path, body) in ways {
            let mut ended = Vec::new();
            let attacking = async {
                let mut requests = JoinSet::new();
                let start = Instant::now();
                for number in 0..ATTACKS {
                    let (client, method, path, mut body) = (client.clone(), method.clone(), path.clone(), body.clone());
                    if way == "model" {
                        body["session"] = json!(format!("{number}"));
                    }
                    requests.spawn(async move { client.send(method, &path, body).await.0 });
                }
                while requests.join_next().await.is_some() {
                    ended.push(start.elapsed());
                }
            };
            let (mut health, mut tokens) = beside(&client, attacking).await;
            let (health, tokens) = (percentile(&mut health, 99), percentile(&mut tokens, 99));
            let ratio = |time: Duration, base: Duration| time.as_secs_f64() / base.as_secs_f64();
            println!(
                "{attack:10} {way:13} {:>11.1?} {:>11.1?} {:>11.1?} (× {:>6.1}) {:>11.1?} (× {:>6.1})",
                ended.first().unwrap(),
                ended.last().unwrap(),
                health,
                ratio(health, health_base),
                tokens,
                ratio(tokens, token_base),
            );
        }
    }
    server.kill().unwrap();
    server.wait().unwrap();
}

/// Returns the durations of other requests while `work` runs.
async fn beside(client: &Client, work: impl Future<Output = ()>) -> (Vec<Duration>, Vec<Duration>) {
    let stop = Arc::new(AtomicBool::new(false));
    let health = tokio::spawn(paced(client.clone(), Arc::clone(&stop), false));
    let tokens = tokio::spawn(paced(client.clone(), Arc::clone(&stop), true));
    work.await;
    stop.store(true, Relaxed);
    (health.await.unwrap(), tokens.await.unwrap())
}

async fn paced(client: Client, stop: Arc<AtomicBool>, writes: bool) -> Vec<Duration> {
    let (mut ticks, mut requests) = (tokio::time::interval(PACE), JoinSet::new());
    while !stop.load(Relaxed) {
        ticks.tick().await;
        let client = client.clone();
        requests.spawn(async move {
            let start = Instant::now();
            if writes {
                client.made("/v1/auth/tokens", json!({ "scopes": ["agents:read"] })).await;
            } else {
                client.http.get(format!("{}/v1/health", client.url)).send().await.unwrap();
            }
            start.elapsed()
        });
    }
    requests.join_all().await
}

/// Starts a server in its own process, with an agent, the slow skill and the slow provider.
async fn serve(home: &Path) -> (Child, Client) {
    let binary = std::env::var("BENCH_SERVER").unwrap_or_else(|_| env!("CARGO_BIN_EXE_moxxy").to_owned());
    let mut server = Command::new(binary);
    server.arg("--home").arg(home).env("MOXXY_DATA_CACHE", home.join("cache")).args(["--port", "0", "serve"]);
    let mut server = server.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.strip_prefix("Moxxy 0.1.0 listens on ").unwrap().trim().to_owned();
    drop(rustls::crypto::ring::default_provider().install_default());
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let mut client = Client { http, url, token: None };
    let scopes = ["tokens:admin", "agents:read", "agents:write", "runs:write", "vault:write"];
    let token = client.made("/v1/auth/tokens", json!({ "scopes": scopes })).await;
    client.token = Some(token["token"].as_str().unwrap().to_owned());
    client.made("/v1/providers", json!({ "id": "offline", "component": { "bundled": "offline" } })).await;
    client.made("/v1/agents", json!({ "name": "ada", "provider": "offline", "model": "echo" })).await;
    upload(&client, "ada").await;
    let component = json!({ "base64": BASE64.encode(component("slow_config")) });
    client.made("/v1/providers", json!({ "id": "slow", "component": component })).await;
    (server, client)
}

fn component(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/../test-components");
    std::fs::read(format!("{folder}/{name}.wasm")).unwrap()
}

async fn upload(client: &Client, agent: &str) {
    let source = json!({ "base64": BASE64.encode(component("slow")) });
    client.made(&format!("/v1/agents/{agent}/skills/install"), json!({ "source": source })).await;
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort();
    times.get(times.len() * percent / 100).copied().unwrap_or_default()
}
