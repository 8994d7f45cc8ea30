//! Benchmark of a token stream from a service through the component `openai` and the host.
//!
//! Measures the delay of the first token and the total time. The baseline is a bare client that reads the same
//! body from the same service, alternating in one run. Then runs 200 streams at a steady rate, through runs and
//! the event stream, and compares the gaps between tokens at the service with those at subscribers.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that cannot go on stops")]

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use moxxy_runtime::models::{Chunk, Message, ModelOptions, Part, Request, Role};
use moxxy_server::{app::App, config::Config, services::completion};
use moxxy_store as store;
use moxxy_system::tasks::Tasks;
use moxxy_types::{clock::Clock, events::EventContext, ids::Name};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

const ROUNDS: usize = 15;
/// Number of tokens in the long response.
const TOKENS: usize = 20_000;
const STREAMS: usize = 200;
const PACE: Duration = Duration::from_millis(50);
const PACED_TOKENS: usize = 200;

const TYPE: [(&str, &str); 1] = [("Content-Type", "text/event-stream")];
const END: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

fn token(text: &str) -> String {
    let delta = json!({ "role": "assistant", "content": text });
    let choice = json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": null });
    let piece = json!({
        "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", "object": "chat.completion.chunk", "created": 1_741_569_952,
        "model": "large-1", "choices": [choice],
    });
    format!("data: {piece}\n\n")
}

/// Starts a service with an immediate response, and one whose tokens come at a steady rate. Each of these tokens
/// is its time of creation, in microseconds from `start`.
async fn service(start: Instant) -> String {
    let whole = Bytes::from((0..TOKENS).map(|_| token(" word")).collect::<String>() + END);
    // Read the request body first: a connection with unread data is reset.
    let at_once = async |State(whole): State<Bytes>, _: Bytes| (TYPE, whole).into_response();
    let paced = async move |_: Bytes| -> Response {
        let tokens = stream::unfold((tokio::time::interval(PACE), 0), move |(mut ticks, made)| async move {
            if made > PACED_TOKENS {
                return None;
            }
            ticks.tick().await;
            let text = match made {
                PACED_TOKENS => END.to_owned(),
                _ => token(&format!("{} ", start.elapsed().as_micros())),
            };
            Some((Ok::<_, Infallible>(Bytes::from(text)), (ticks, made + 1)))
        });
        (TYPE, Body::from_stream(tokens)).into_response()
    };
    let routes = Router::new()
        .route("/whole/chat/completions", post(at_once).with_state(whole))
        .route("/paced/chat/completions", post(paced));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    url
}

struct Bench {
    app: App,
    http: reqwest::Client,
    url: String,
    service: String,
}

impl Bench {
    async fn start(home: &tempfile::TempDir, service: String) -> Self {
        let mut config = Config::at(home.path()).unwrap();
        config.plugins.compiler = Some(env!("CARGO_BIN_EXE_moxxy").into());
        config.plugins.concurrent_providers = STREAMS as u32;
        config.providers.concurrency = STREAMS as u32;
        config.rate_limit.per_second = 1_000_000;
        config.rate_limit.burst = 1_000_000;
        let config = Arc::new(config);
        let app = App::start(&config, Clock::system(), Tasks::default()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(moxxy_server::run(app.clone(), config, listener));
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let bench = Self { app, http, url, service };
        for path in ["whole", "paced"] {
            let config = json!({
                "base_url": format!("{}/{path}", bench.service), "auth": "none", "models": [{ "id": "large-1" }],
            });
            bench
                .post("/v1/providers", json!({ "id": path, "component": { "bundled": "openai" }, "config": config }))
                .await;
        }
        bench
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.http.post(format!("{}{path}", self.url)).json(&body).send().await.unwrap();
        let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
        assert!(status.is_success(), "{path}: {body}");
        body
    }

    /// Returns the time to the first chunk and the total time of a bare client.
    async fn bare(&self) -> (Duration, Duration) {
        let start = Instant::now();
        let url = format!("{}/whole/chat/completions", self.service);
        let body = json!({ "model": "large-1", "stream": true, "messages": [{ "role": "user", "content": "go" }] });
        let answer = self.http.post(url).json(&body).send().await.unwrap();
        let mut pieces = answer.bytes_stream();
        let mut first = None;
        while let Some(piece) = pieces.next().await {
            piece.unwrap();
            first.get_or_insert_with(|| start.elapsed());
        }
        (first.unwrap(), start.elapsed())
    }

    /// Returns the same times through the component.
    async fn through(&self) -> (Duration, Duration) {
        let start = Instant::now();
        let id = Name::try_from("whole".to_owned()).unwrap();
        let provider =
            store::installations::provider(&mut self.app.components.store.read().await.unwrap(), &id).await.unwrap();
        let context = completion::context(&self.app.components, &provider, EventContext::default()).await.unwrap();
        let message = Message { role: Role::User, parts: vec![Part::Text("go".into())], opaque: Vec::new() };
        let request = Request {
            model: "large-1".into(),
            system: None,
            messages: vec![message],
            tools: Vec::new(),
            options: ModelOptions::default(),
            max_output_tokens: None,
            response_schema: None,
            idempotency_key: None,
            adaptations: Vec::new(),
        };
        let mut completion =
            self.app.components.plugins.complete(&provider.component.digest, context, request).await.unwrap();
        let (mut first, mut tokens) = (None, 0);
        while let Some(chunk) = completion.next().await {
            if let Chunk::Text(_) = chunk.unwrap() {
                tokens += 1;
                first.get_or_insert_with(|| start.elapsed());
            }
        }
        assert_eq!(tokens, TOKENS);
        (first.unwrap(), start.elapsed())
    }

    /// Returns the times when each token was created and received, in microseconds, by run.
    async fn paced(&self, start: Instant) -> HashMap<String, Vec<(u64, u64)>> {
        let events = format!("{}/v1/events/stream?event_type=message.delta&event_type=run.completed", self.url);
        let mut events = self.http.get(events).send().await.unwrap().bytes_stream();
        let mut starting = JoinSet::new();
        for number in 0..STREAMS {
            let (http, url) = (self.http.clone(), self.url.clone());
            let post = async move |path: String, body: Value| {
                assert_eq!(http.post(format!("{url}{path}")).json(&body).send().await.unwrap().status(), 201);
            };
            starting.spawn(async move {
                let agent = json!({ "name": format!("a{number}"), "provider": "paced", "model": "large-1" });
                post("/v1/agents".into(), agent).await;
                post(format!("/v1/agents/a{number}/runs"), json!({ "task": "go" })).await;
            });
        }
        let (mut seen, mut ended, mut rest) = (HashMap::<String, Vec<(u64, u64)>>::new(), 0, String::new());
        while ended < STREAMS {
            rest += std::str::from_utf8(&events.next().await.unwrap().unwrap()).unwrap();
            let now = start.elapsed().as_micros() as u64;
            while let Some(end) = rest.find("\n\n") {
                let event: String = rest.drain(..end + 2).collect();
                let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) else { continue };
                let event: Value = serde_json::from_str(data).unwrap();
                let run = event["run_id"].as_str().unwrap().to_owned();
                match event["payload"]["text"].as_str() {
                    Some(text) => seen.entry(run).or_default().push((text.trim().parse().unwrap(), now)),
                    None => ended += 1,
                }
            }
        }
        starting.join_all().await;
        seen
    }
}

fn percentile<T: Ord + Copy>(values: &mut [T], percent: usize) -> T {
    values.sort();
    values[(values.len() * percent / 100).min(values.len() - 1)]
}

fn gaps(times: impl Iterator<Item = u64> + Clone) -> Vec<u64> {
    times.clone().zip(times.skip(1)).map(|(before, after)| after.saturating_sub(before)).collect()
}

#[tokio::main]
async fn main() {
    let home = tempfile::TempDir::new_in("/dev/shm").or_else(|_| tempfile::TempDir::new()).unwrap();
    let start = Instant::now();
    let bench = Bench::start(&home, service(start).await).await;
    let (mut bare, mut through) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(bench.bare().await);
        through.push(bench.through().await);
    }
    let size = TOKENS * token(" word").len() + END.len();
    println!("a stream of {TOKENS} tokens, {:.1} MB, {ROUNDS} rounds, medians", size as f64 / 1e6);
    for (what, of) in [("first token", 0), ("whole stream", 1)] {
        let pick = |times: &[(Duration, Duration)]| {
            let mut times: Vec<_> = times.iter().map(|time| if of == 0 { time.0 } else { time.1 }).collect();
            percentile(&mut times, 50)
        };
        let (floor, ours) = (pick(&bare), pick(&through));
        let ratio = ours.as_secs_f64() / floor.as_secs_f64();
        println!("{what:14} bare client {floor:>9.1?}  through the component {ours:>9.1?}  ratio {ratio:.2}");
    }

    let seen = bench.paced(start).await;
    let tokens: usize = seen.values().map(Vec::len).sum();
    let times = |pick: fn(&(u64, u64)) -> u64| -> Vec<u64> {
        seen.values().flat_map(|tokens| gaps(tokens.iter().map(pick))).collect()
    };
    let (mut made, mut shown) = (times(|token| token.0), times(|token| token.1));
    let mut late: Vec<u64> = seen.values().flatten().map(|(made, shown)| shown.saturating_sub(*made)).collect();
    println!("{STREAMS} streams at once, a token each {PACE:?}: {tokens} of {} tokens seen", STREAMS * PACED_TOKENS);
    let milliseconds = |times: &mut [u64], percent| percentile(times, percent) as f64 / 1e3;
    for (what, gaps) in [("made by the service", &mut made), ("seen by a subscriber", &mut shown)] {
        println!("gaps {what:21} p50 {:>6.1} ms  p99 {:>6.1} ms", milliseconds(gaps, 50), milliseconds(gaps, 99));
    }
    println!("ratio of p99 {:.2}", milliseconds(&mut shown, 99) / milliseconds(&mut made, 99));
    println!("from made to seen: p50 {:.1} ms, p99 {:.1} ms", milliseconds(&mut late, 50), milliseconds(&mut late, 99));
}
