//! Benchmark of the effect of a misbehaving component on other calls.
//!
//! Runs the same load of short HTTP calls alone, next to endless loops, and next to memory bombs, alternating in
//! one run. Then sends health checks and short calls at a steady rate next to eight endless loops for ten
//! seconds.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that cannot go on stops")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use moxxy_server::{app::App, config::Config};
use moxxy_system::tasks::Tasks;
use moxxy_types::clock::Clock;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

const ROUNDS: usize = 5;
const CLIENTS: usize = 4;
const CALLS: usize = 150;

/// Total time that the endless loops run.
const LOOPING: Duration = Duration::from_secs(10);
/// Number of concurrent endless loops.
const LOOPS: usize = 8;
/// Interval between requests, whether or not the previous one was answered.
const PACE: Duration = Duration::from_millis(5);

#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let response = self.http.post(format!("{}{path}", self.url)).json(&body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn invoke(&self, skill: &str, tool: &str, arguments: Value) -> (u16, Value) {
        let body = json!({ "tool": tool, "arguments": arguments });
        self.post(&format!("/v1/agents/ada/skills/{skill}/invoke"), body).await
    }
}

/// Returns the durations of short calls from several clients.
async fn load(client: &Client, failed: &Arc<AtomicUsize>) -> Vec<Duration> {
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (client, failed) = (client.clone(), Arc::clone(failed));
            tokio::spawn(async move {
                let mut times = Vec::with_capacity(CALLS);
                for _ in 0..CALLS {
                    let start = Instant::now();
                    let (status, _) = client.invoke("text", "word_count", json!({ "text": "a b c" })).await;
                    times.push(start.elapsed());
                    failed.fetch_add(usize::from(status != 200), Relaxed);
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for client in clients {
        times.extend(client.await.unwrap());
    }
    times
}

/// Returns the durations of the same load next to a tool that is called repeatedly.
async fn beside(
    client: &Client,
    tool: &'static str,
    failed: &Arc<AtomicUsize>,
    ended: &mut Vec<String>,
) -> Vec<Duration> {
    let stop = Arc::new(AtomicBool::new(false));
    let (bad, stopped) = (client.clone(), Arc::clone(&stop));
    let neighbour = tokio::spawn(async move {
        let mut messages = Vec::new();
        while !stopped.load(Relaxed) {
            let (status, body) = bad.invoke("misbehave", tool, json!({})).await;
            messages.push(format!("{status} {}: {}", body["code"].as_str().unwrap(), body["error"].as_str().unwrap()));
        }
        messages
    });
    let times = load(client, failed).await;
    stop.store(true, Relaxed);
    ended.extend(neighbour.await.unwrap());
    times
}

/// Sends requests of one kind at a steady rate and returns their durations.
async fn paced(client: Client, short_calls: bool, time: Duration) -> Vec<Duration> {
    let (mut ticks, end) = (tokio::time::interval(PACE), Instant::now() + time);
    let mut requests = JoinSet::new();
    while Instant::now() < end {
        ticks.tick().await;
        let client = client.clone();
        requests.spawn(async move {
            let start = Instant::now();
            let status = if short_calls {
                client.invoke("text", "word_count", json!({ "text": "a b c" })).await.0
            } else {
                client.http.get(format!("{}/v1/health", client.url)).send().await.unwrap().status().as_u16()
            };
            assert_eq!(status, 200);
            start.elapsed()
        });
    }
    requests.join_all().await
}

/// Measures health checks and short calls at a steady rate, without and next to endless loops.
async fn beside_loops(client: &Client) {
    let both = async |time| tokio::join!(paced(client.clone(), false, time), paced(client.clone(), true, time));
    let (mut health, mut calls) = both(LOOPING / 2).await;
    let stop = Arc::new(AtomicBool::new(false));
    let loops: Vec<_> = (0..LOOPS)
        .map(|_| {
            let (client, stop) = (client.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(Relaxed) {
                    client.invoke("misbehave", "spin", json!({})).await;
                }
            })
        })
        .collect();
    let (mut beside_health, mut beside_calls) = both(LOOPING).await;
    stop.store(true, Relaxed);
    for spinning in loops {
        spinning.await.unwrap();
    }
    let (more_health, more_calls) = both(LOOPING / 2).await;
    health.extend(more_health);
    calls.extend(more_calls);
    println!("one of each every {PACE:?}, for {LOOPING:?} without and {LOOPING:?} beside {LOOPS} endless loops");
    for (what, alone, beside) in
        [("/v1/health", &mut health, &mut beside_health), ("short calls", &mut calls, &mut beside_calls)]
    {
        let base = percentile(alone, 99);
        show(&format!("{what}, alone"), alone, base);
        show(&format!("{what}, beside loops"), beside, base);
    }
}

#[tokio::main]
async fn main() {
    // In memory if possible: a busy disk delays every commit more than any neighbour does.
    let home = tempfile::TempDir::new_in("/dev/shm").or_else(|_| tempfile::TempDir::new()).unwrap();
    let client = serve(&home).await;
    let failed = Arc::new(AtomicUsize::new(0));
    load(&client, &failed).await;
    let (mut alone, mut spin, mut bomb) = (Vec::new(), Vec::new(), Vec::new());
    let mut ended = Vec::new();
    for _ in 0..ROUNDS {
        alone.extend(load(&client, &failed).await);
        spin.extend(beside(&client, "spin", &failed, &mut ended).await);
        bomb.extend(beside(&client, "bomb", &failed, &mut ended).await);
    }
    println!("{CLIENTS} clients, {ROUNDS} rounds of {CALLS} calls each, through HTTP with events in the database");
    let base = percentile(&mut alone, 99);
    show("alone", &mut alone, base);
    show("beside an endless loop", &mut spin, base);
    show("beside a memory bomb", &mut bomb, base);
    println!("short calls that failed: {}", failed.load(Relaxed));
    ended.sort();
    for group in ended.chunk_by(|a, b| a == b) {
        println!("{:4} × {}", group.len(), group.first().unwrap());
    }
    beside_loops(&client).await;
}

/// Starts a server with an agent and two skills.
async fn serve(home: &tempfile::TempDir) -> Client {
    let mut config = Config::at(home.path()).unwrap();
    config.plugins.compiler = Some(env!("CARGO_BIN_EXE_moxxy").into());
    let config = Arc::new(config);
    let app = App::start(&config, Clock::system(), Tasks::default()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(moxxy_server::run(app, config, listener));
    drop(rustls::crypto::ring::default_provider().install_default());
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let client = Client { http, url };
    let done = |(status, body): (u16, Value)| assert_eq!(status, 201, "{body}");
    done(client.post("/v1/providers", json!({ "id": "offline", "component": { "bundled": "offline" } })).await);
    done(client.post("/v1/agents", json!({ "name": "ada", "provider": "offline", "model": "echo" })).await);
    let install = "/v1/agents/ada/skills/install";
    done(client.post(install, json!({ "source": { "bundled": "text" } })).await);
    let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/../test-components/misbehave.wasm");
    let part = reqwest::multipart::Part::bytes(std::fs::read(path).unwrap());
    let form = reqwest::multipart::Form::new().part("component", part);
    let uploaded = client.http.post(format!("{}{install}", client.url)).multipart(form).send().await.unwrap();
    assert_eq!(uploaded.status(), 201);
    client
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort();
    times.get(times.len() * percent / 100).copied().unwrap_or_default()
}

fn show(what: &str, times: &mut [Duration], base: Duration) {
    let (p50, p99) = (percentile(times, 50), percentile(times, 99));
    let ratio = p99.as_secs_f64() / base.as_secs_f64();
    println!("{what:25} p50 {p50:>9.1?}  p99 {p99:>9.1?}  ratio of p99 {ratio:.2}");
}
