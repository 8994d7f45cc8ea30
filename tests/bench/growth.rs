//! Benchmark of times that must not grow with the amount of data.
//!
//! Measures runs in sessions with few and many messages, early and late steps of a run, GET routes and start-up with
//! few and many rows, and runs while other clients read. A time that grows shows a query that reads more rows than it
//! needs. Each line has the small and the large case, which alternate, and their ratio with the limit that we aim for.
//! Nothing is asserted, because ratios depend on the machine.
//!
//! `GROWTH_SCALE` multiplies all sizes and rounds: 0.01 makes a quick try.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that cannot go on stops")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use moxxy_types::clock;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::{task::JoinSet, time::interval_at};

const DATABASE: &str = "moxxy.db";
const COPY: &str = "copy.db";
/// Free memory with which the data directories are in memory.
const MIN_MEMORY_BYTES: u64 = 4 << 30;
/// Number of measurements of each case.
const ROUNDS: usize = 40;
/// Number of measurements before these, which do not count.
const WARM_UP_ROUNDS: usize = 5;
/// Number of steps of a long run: each is a model call and a tool call.
const STEPS: usize = 620;
/// Number of long runs, and of blocks of short runs with readers.
const REPETITIONS: usize = 4;
/// Number of agents in the large case. There are 10 times as many runs, and 100 times as many events.
const AGENTS: usize = 10_000;
/// Number of runs that have not ended, in the large case.
const OPEN_RUNS: usize = 2000;
/// Number of clients that read while others start runs.
const READERS: u32 = 8;
/// Interval between the requests of each reader: 20 requests a second in all.
const READ_INTERVAL: Duration = Duration::from_millis(400);

/// Server in its own process.
struct Server {
    child: Child,
    http: reqwest::Client,
    url: String,
}

impl Server {
    /// Starts the server and waits until it is ready. Returns the time that this takes.
    async fn start(home: &Path) -> (Self, Duration) {
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let started = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_moxxy"))
            .args(["--port", "0", "serve"])
            .env_clear()
            .env("MOXXY_HOME", home)
            .env("MOXXY_LOG_FILTER", "error")
            .env("MOXXY_RATE_LIMIT_PER_SECOND", "1000000")
            .env("MOXXY_RATE_LIMIT_BURST", "1000000")
            // Counts events, as by default, but removes none.
            .env("MOXXY_EVENTS_KEEP_EVENTS", "1000000000")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().last().unwrap().to_owned();
        while !http.get(format!("{url}/v1/health")).send().await.is_ok_and(|answer| answer.status() == 200) {}
        (Self { child, http, url }, started.elapsed())
    }

    /// Returns the response. If the request starts a run, that is its state at the end.
    async fn post(&self, path: &str, body: Value) -> Value {
        let request = self.http.post(format!("{}{path}", self.url)).header("Prefer", "wait=300").json(&body);
        let answer = request.send().await.unwrap();
        let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
        assert!(status.is_success(), "{path}: {body}");
        body
    }

    /// Returns the duration of a GET request.
    async fn get(&self, path: &str) -> Duration {
        let start = Instant::now();
        let answer = self.http.get(format!("{}{path}", self.url)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.bytes().await.unwrap();
        start.elapsed()
    }

    /// Returns the time until a stream has sent its first event.
    async fn first_event(&self, query: &str) -> Duration {
        let start = Instant::now();
        let mut answer = self.http.get(format!("{}/v1/events/stream?{query}", self.url)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{query}");
        let mut text = String::new();
        while !text.contains("data:") {
            text += std::str::from_utf8(&answer.chunk().await.unwrap().unwrap()).unwrap();
        }
        start.elapsed()
    }

    /// Creates an agent with the skill `text` and a model that plays back a script.
    async fn create_agent(&self, name: &str, mut script: Value, limits: Value) {
        // A few steps fill the context window.
        script["model"] = json!({ "context_window": 4000 });
        let provider = json!({ "id": name, "component": { "bundled": "script" }, "config": script });
        self.post("/v1/providers", provider).await;
        let agent = json!({ "name": name, "provider": name, "model": "script", "limits": limits });
        self.post("/v1/agents", agent).await;
        let skill = format!("/v1/agents/{name}/skills/install");
        self.post(&skill, json!({ "source": { "bundled": "text" } })).await;
    }

    /// Returns the duration of a run of `ada`: a model call, a tool call and a model call.
    async fn run(&self, session: &str) -> Duration {
        let start = Instant::now();
        let task = json!({ "task": "Count the words", "session": session });
        let run = self.post("/v1/agents/ada/runs", task).await;
        assert_eq!(run["status"], "completed", "{run}");
        start.elapsed()
    }

    fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::main]
async fn main() {
    println!("small case, large case, and their ratio [limit that we aim for]");
    compare_sessions().await;
    // A page has up to 100 items, so the small case fills one, too.
    let agents = scaled(AGENTS, 2000);
    let homes = [prepare(&rows(agents / 10)).await, prepare(&rows(agents)).await];
    compare_routes(&homes).await;
    compare_starts(&format!("start-up, {agents} agents"), &homes, 1.3).await;
    compare_starts_with_open_runs("queued", 1.3).await;
    // Each run is resumed with a write, so this time may grow in proportion.
    compare_starts_with_open_runs("running", 10.0).await;
}

/// Compares runs in sessions of different lengths, all longer than the context window.
async fn compare_sessions() {
    let sizes = [10, scaled(1000, 100), scaled(20_000, 200)];
    let home = prepare(&sizes.map(conversation).concat()).await;
    let (server, _) = Server::start(home.path()).await;
    let run = async |case: usize| server.run(&format!("s{}", sizes[case])).await;
    let times = interleave(sizes.len(), scaled(ROUNDS, 5), run).await;
    for (size, large) in sizes.iter().zip(&times).skip(1) {
        print_ratio(&format!("3-step run, session of {size} messages against 10"), 50, [&times[0], large], 1.2);
    }
    compare_steps(&server).await;
    server.stop();
}

/// Compares late steps of a run with early ones. The run fails at its step limit, because the script has no end.
async fn compare_steps(server: &Server) {
    let count = scaled(STEPS, 60);
    let limits = json!({
        "max_steps": count, "max_tool_calls": 2 * count, "max_tokens": 1_000_000_000_000_u64, "max_seconds": 3600,
    });
    let script = json!({ "steps": [{ "tool_calls": [tool_call()] }], "repeat": true });
    server.create_agent("long", script, limits).await;
    let (mut early, mut late) = (Vec::new(), Vec::new());
    for round in 0..REPETITIONS {
        let task = json!({ "task": "Count the words", "session": format!("long-{round}") });
        let run = server.post("/v1/agents/long/runs", task).await;
        assert_eq!(run["error"]["code"], "step_limit", "{run}");
        let url = format!("{}/v1/agents/long/runs/{}", server.url, run["run_id"].as_str().unwrap());
        let run: Value = server.http.get(url).send().await.unwrap().json().await.unwrap();
        let calls = run["steps"].as_array().unwrap().iter().filter(|step| step["kind"] == "model");
        let starts: Vec<_> = calls.map(|step| clock::parse(step["started_at"].as_str().unwrap()).unwrap()).collect();
        // Several steps, because timestamps are in milliseconds and the size of the prompt varies.
        early.push(mean_interval(&starts[4..=25]));
        late.push(mean_interval(&starts[count - 31..=count - 10]));
    }
    print_ratio(&format!("steps {}-{} of a run against 5-25", count - 30, count - 10), 50, [&early, &late], 1.2);
}

/// Returns the mean interval between successive timestamps.
fn mean_interval(times: &[OffsetDateTime]) -> Duration {
    let total: Duration = (times[times.len() - 1] - times[0]).try_into().unwrap();
    total / (times.len() - 1) as u32
}

/// Compares GET requests to a server with few rows and one with many, and runs with and without readers.
async fn compare_routes(homes: &[TempDir; 2]) {
    let servers = [Server::start(homes[0].path()).await.0, Server::start(homes[1].path()).await.0];
    let rounds = scaled(ROUNDS, 5);
    let of_agent = ["", "/runs", "/usage", "/history", "/sessions", "/questions"];
    let of_agent = of_agent.map(|rest| format!("/v1/agents/large{rest}"));
    for path in ["/v1/agents", "/v1/providers"].into_iter().chain(of_agent.iter().map(String::as_str)) {
        let times = interleave(2, rounds, async |case: usize| servers[case].get(path).await).await;
        print_ratio(&format!("GET {path}"), 50, [&times[0], &times[1]], 1.3);
    }
    let query = "after=0&event_type=agent.created";
    let times = interleave(2, rounds, async |case: usize| servers[case].first_event(query).await).await;
    print_ratio(&format!("GET /v1/events/stream?{query}"), 50, [&times[0], &times[1]], 1.3);
    compare_readers(&servers[1]).await;
    for server in servers {
        server.stop();
    }
}

/// Compares runs while other clients read usage with runs alone.
async fn compare_readers(server: &Server) {
    let count = scaled(2 * ROUNDS, 10);
    let (mut alone, mut with_readers) = (Vec::new(), Vec::new());
    for _ in 0..REPETITIONS {
        alone.extend(interleave(1, count, async |_| server.run("load").await).await.concat());
        let readers = start_readers(server);
        with_readers.extend(interleave(1, count, async |_| server.run("load").await).await.concat());
        drop(readers);
    }
    print_ratio("3-step run, 20 reads of usage a second against none", 99, [&alone, &with_readers], 3.0);
}

/// Starts clients that read the usage of `large`, evenly spread over time, until the returned set is dropped.
fn start_readers(server: &Server) -> JoinSet<()> {
    let mut readers = JoinSet::<()>::new();
    for number in 0..READERS {
        let (http, url) = (server.http.clone(), format!("{}/v1/agents/large/usage", server.url));
        let first = Instant::now() + READ_INTERVAL * number / READERS;
        readers.spawn(async move {
            let mut ticks = interval_at(first.into(), READ_INTERVAL);
            loop {
                ticks.tick().await;
                let answer = http.get(&url).send().await.unwrap();
                assert_eq!(answer.status(), 200);
                answer.bytes().await.unwrap();
            }
        });
    }
    readers
}

/// Compares starts on a database with few rows and one with many. A start restores the copy of the database, if any.
async fn compare_starts(what: &str, homes: &[TempDir; 2], aim: f64) {
    let start = async |case: usize| {
        let home = homes[case].path();
        assert!(!home.join(format!("{DATABASE}-wal")).exists(), "the last stop was not clean");
        if home.join(COPY).exists() {
            fs::copy(home.join(COPY), home.join(DATABASE)).unwrap();
        }
        let (server, time) = Server::start(home).await;
        server.stop();
        time
    };
    let times = interleave(2, scaled(ROUNDS / 4, 3), start).await;
    print_ratio(what, 50, [&times[0], &times[1]], aim);
}

/// Compares starts with few and many runs that have not ended. A start carries them out, hence the copies.
async fn compare_starts_with_open_runs(status: &str, aim: f64) {
    let count = scaled(OPEN_RUNS, 100);
    let homes = [prepare(&open_runs(status, count / 10)).await, prepare(&open_runs(status, count)).await];
    for home in &homes {
        fs::copy(home.path().join(DATABASE), home.path().join(COPY)).unwrap();
    }
    compare_starts(&format!("start-up, {count} {status} runs"), &homes, aim).await;
}

/// Returns the data directory of a stopped server with the agents `ada` and `large`, after changes to its database.
async fn prepare(statements: &str) -> TempDir {
    // In memory if possible: the time of a busy disk would hide the time of queries.
    let memory = rustix::fs::statvfs("/dev/shm").map_or(0, |memory| memory.f_bavail * memory.f_frsize);
    let home = if memory >= MIN_MEMORY_BYTES { TempDir::new_in("/dev/shm").unwrap() } else { TempDir::new().unwrap() };
    let (server, _) = Server::start(home.path()).await;
    let script = json!({ "steps": [{ "tool_calls": [tool_call()] }, { "text": "fine" }], "per_task": true });
    for name in ["ada", "large"] {
        server.create_agent(name, script.clone(), json!({})).await;
    }
    server.stop();
    let mut db = SqliteConnectOptions::new().filename(home.path().join(DATABASE)).connect().await.unwrap();
    db.execute(AssertSqlSafe(format!("BEGIN; {statements} COMMIT;"))).await.unwrap();
    db.close().await.unwrap();
    home
}

fn tool_call() -> Value {
    json!({ "name": "text__word_count", "arguments": { "text": "some words ".repeat(50) } })
}

/// Returns the beginning of a statement that reads the numbers `i` from 1 to `count` from the table `n`.
fn numbers(count: usize) -> String {
    format!("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})")
}

/// Returns statements that add a session of `ada`, with one ended run that has `count` messages of 1 KB.
fn conversation(count: usize) -> String {
    let (numbers, id, text) = (numbers(count), format!("{count:08}-0000-7000-8000"), "some words ".repeat(91));
    format!(
        "INSERT INTO sessions (id, agent, name, created_at)
         SELECT 'ses_{id}-000000000001', key, 's{count}', created_at FROM agents WHERE name = 'ada';
         INSERT INTO runs (id, agent, session, status, task, output, created_at, started_at, ended_at)
         SELECT 'run_{id}-000000000001', key, 'ses_{id}-000000000001', 'completed', 'Talk', 'fine', created_at,
                created_at, created_at FROM agents WHERE name = 'ada';
         {numbers} INSERT INTO messages (id, session, run, role, content, created_at)
         SELECT printf('msg_{id}-%012d', i), 'ses_{id}-000000000001', 'run_{id}-000000000001',
                iif(i % 2, 'user', 'assistant'), '{text}', created_at FROM n, agents WHERE name = 'ada';"
    )
}

/// Returns statements that add agents, and rows of the agent `large`. The only event of the type `agent.created` is the
/// last one. Times are that of the agent, because the audit log has no entries of these rows.
fn rows(agents: usize) -> String {
    let (some, many, most) = (numbers(agents), numbers(agents * 10), numbers(agents * 100));
    let id = "00000000-0000-7000-8000";
    format!(
        "{some} INSERT INTO agents (name, provider, model, limits, created_at, updated_at)
         SELECT printf('agent-%06d', i), provider, model, limits, created_at, updated_at FROM n, agents
         WHERE name = 'large';
         {some} INSERT INTO sessions (id, agent, name, created_at)
         SELECT printf('ses_{id}-%012d', i), key, iif(i = 1, 'default', 'chat-' || i), created_at
         FROM n, agents WHERE name = 'large';
         {many} INSERT INTO runs (id, agent, session, status, task, output, created_at, started_at, ended_at,
                                  last_sequence)
         SELECT printf('run_{id}-%012d', i), key, printf('ses_{id}-%012d', iif(i % 2, i % {agents} + 1, 1)),
                'completed', 'Count the words', 'fine', created_at, created_at, created_at, 10
         FROM n, agents WHERE name = 'large';
         INSERT INTO messages (id, session, run, role, content, created_at)
         SELECT 'msg_' || substr(id, 5), session, id, 'user', task, created_at FROM runs;
         INSERT INTO questions (id, run, agent, session, kind, message, call_id, ordinal, question, tool, digest,
                                arguments, status, decision, scope, answered_by, created_at, expires_at, ended_at)
         SELECT 'ask_' || substr(r.id, 5), r.id, r.agent, r.session, 'approval', 'msg_' || substr(r.id, 5), 'call_1',
                0, 'May it be called?', 'text__word_count', s.digest, '{{}}', 'answered', 'allow', 'once', 'local',
                r.created_at, r.created_at, r.created_at
         FROM runs r JOIN installations s ON s.agent = r.agent AND s.kind = 'skill' WHERE r.position % 10 = 0;
         {some} INSERT INTO daily_usage
         SELECT key, date('1990-01-01', i || ' days'), 9, 9, 9, 0, 9, 0, 0, 0 FROM n, agents WHERE name = 'large';
         DELETE FROM events WHERE event_type = 'agent.created';
         {most} INSERT INTO events (event_id, timestamp, agent_id, run_id, sequence, event_type, payload)
         SELECT printf('{id}-%012d', i), created_at, name, printf('run_{id}-%012d', (i - 1) / 10 + 1),
                (i - 1) % 10 + 1, iif(i % 2, 'model.request', 'model.response'), '{{}}'
         FROM n, agents WHERE name = 'large';
         INSERT INTO events (event_id, timestamp, agent_id, event_type, payload)
         SELECT '{id}-000000000000', created_at, name, 'agent.created', '{{}}' FROM agents WHERE name = 'large';"
    )
}

/// Returns statements that add runs of `ada` with this status, each in a session of its own.
fn open_runs(status: &str, count: usize) -> String {
    let (numbers, id) = (numbers(count), "00000000-0000-7000-8000");
    format!(
        "{numbers} INSERT INTO sessions (id, agent, name, created_at)
         SELECT printf('ses_{id}-%012d', i), key, 'chat-' || i, created_at FROM n, agents WHERE name = 'ada';
         {numbers} INSERT INTO runs (id, agent, session, status, task, created_at, started_at)
         SELECT printf('run_{id}-%012d', i), key, printf('ses_{id}-%012d', i), '{status}', 'Count the words',
                created_at, iif('{status}' = 'running', created_at, NULL) FROM n, agents WHERE name = 'ada';
         INSERT INTO messages (id, session, run, role, content, created_at)
         SELECT 'msg_' || substr(id, 5), session, id, 'user', task, created_at FROM runs WHERE status = 'running';"
    )
}

/// Measures cases alternately. Returns the times of each.
async fn interleave(cases: usize, rounds: usize, measure: impl AsyncFn(usize) -> Duration) -> Vec<Vec<Duration>> {
    let mut times = vec![Vec::new(); cases];
    for round in 0..WARM_UP_ROUNDS + rounds {
        for (case, times) in times.iter_mut().enumerate() {
            let time = measure(case).await;
            if round >= WARM_UP_ROUNDS {
                times.push(time);
            }
        }
    }
    times
}

/// Returns a size or a number of rounds multiplied by `GROWTH_SCALE`, but at least `least`.
fn scaled(count: usize, least: usize) -> usize {
    let scale: f64 = std::env::var("GROWTH_SCALE").map_or(1.0, |scale| scale.parse().unwrap());
    ((count as f64 * scale) as usize).max(least)
}

/// Prints a percentile of the times of two cases, in milliseconds, and their ratio.
fn print_ratio(what: &str, percent: usize, cases: [&[Duration]; 2], aim: f64) {
    let [small, large] = cases.map(|times| {
        let mut times = times.to_vec();
        times.sort();
        times[times.len() * percent / 100].as_secs_f64() * 1e3
    });
    println!("{what:54} p{percent} {small:>8.2} ms {large:>8.2} ms  ratio {:>5.2} [{aim}]", large / small);
}
