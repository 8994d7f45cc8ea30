//! Runs whose server is killed before and after each commit to its journal, or at random. `make crash` tries each
//! of these points and a thousand runs; otherwise some of them are tried.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, extract::State, http::Uri, routing::any};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    cli::{begin, serve},
    harness::{PATIENCE, Server, Stream, send},
    outcomes::outcome,
    peer::Peer,
    tools,
};

/// Number of tool calls of the run.
const STEPS: usize = 40;
/// Number of kill points in an ordinary test.
const SOME: usize = 12;

/// Lines that the ledger received, with their count.
type Lines = Arc<Mutex<BTreeMap<String, usize>>>;

/// Server that records the calls of the killed server.
struct Ledger {
    peer: Peer,
    lines: Lines,
}

impl Ledger {
    async fn open() -> Self {
        let lines = Lines::default();
        let written = async |State(lines): State<Lines>, uri: Uri| {
            *lines.lock().unwrap().entry(uri.path().to_owned()).or_default() += 1;
        };
        let routes = Router::new().fallback(any(written)).with_state(Arc::clone(&lines));
        Self { peer: Peer::new(routes).await, lines }
    }

    fn options(&self) -> Vec<(&'static str, String)> {
        vec![("MOXXY_EGRESS_PRIVATE", format!("127.0.0.1:{}", self.peer.port))]
    }

    /// Returns how often a line was written for a run.
    fn count(&self, line: &str, run: &str) -> usize {
        self.lines.lock().unwrap().get(&format!("/{line}/{run}")).copied().unwrap_or(0)
    }

    fn call(&self, tool: &str, line: &str) -> Value {
        json!({ "name": format!("hostile__{tool}"), "arguments": { "url": self.peer.url(&format!("/{line}")) } })
    }

    /// Returns a data directory whose agents write into this ledger.
    async fn home(&self, agents: &[String], steps: Value, repeat: bool) -> TempDir {
        let home = TempDir::new().unwrap();
        let (mut child, url) = serve(home.path(), &as_options(&self.options()));
        let mut server = Server::elsewhere(url, home);
        let config = json!({ "steps": steps, "repeat": repeat });
        for agent in agents {
            server.scripted_with(agent, config.clone(), json!({ "max_steps": 10_000 })).await;
            server.accepted(agent, "ledger").await;
            let policy = server.request(Method::PUT, &format!("/v1/agents/{agent}/tool-policy"));
            send(policy.json(&json!({ "idempotent": ["hostile__put"] }))).await.expect(200);
        }
        // Its files do not change any more.
        child.kill().unwrap();
        child.wait().unwrap();
        std::mem::replace(&mut server.home, TempDir::new().unwrap())
    }
}

/// Copies the files into a new directory.
fn copy(from: &Path) -> TempDir {
    let home = TempDir::new().unwrap();
    copy_into(from, home.path());
    home
}

fn copy_into(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy_into(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Builds the library that kills a process at a given point of its journal.
fn killer(folder: &Path) -> Option<PathBuf> {
    let compiler = tools::find(&["cc", "gcc", "clang"])?;
    let library = folder.join("kill.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/it/kill.c");
    let mut build = Command::new(compiler);
    build.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(source).arg("-ldl");
    assert!(build.status().unwrap().success());
    Some(library)
}

/// Starts one run of `ada`, however often this is called.
async fn start(server: &Server) -> Result<Value, reqwest::Error> {
    let request = server.request(Method::POST, "/v1/agents/ada/runs").header("Idempotency-Key", "the-one");
    let answer = request.json(&json!({ "task": "go" })).send().await?;
    assert_eq!(answer.status(), 201);
    answer.json().await
}

fn as_options<'o>(options: &'o [(&'static str, String)]) -> Vec<(&'static str, &'o str)> {
    options.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// Runs the server until it is killed or the run has completed. Returns the data directory.
async fn until_killed(home: TempDir, options: &[(&'static str, String)]) -> TempDir {
    let (mut child, url) = begin(home.path(), &as_options(options));
    let Some(url) = url else {
        child.wait().unwrap();
        return home;
    };
    let mut server = Server::elsewhere(url, home);
    if let Ok(run) = start(&server).await {
        let path = format!("/v1/events/stream?after=0&run_id={}", run["run_id"].as_str().unwrap());
        // The stream ends with the server or the run.
        if let Ok(response) = server.request(Method::GET, &path).send().await {
            let mut events = Stream::of(response);
            while let Some(event) = events.next().await {
                if event.kind == "run.completed" {
                    child.kill().unwrap();
                }
            }
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    std::mem::replace(&mut server.home, TempDir::new().unwrap())
}

/// Restarts the server, waits until the run ends, and checks its results.
async fn check(ledger: &Ledger, home: TempDir, moment: usize) {
    let (mut child, url) = serve(home.path(), &as_options(&ledger.options()));
    let server = Server::elsewhere(url, home);
    let id = start(&server).await.unwrap()["run_id"].as_str().unwrap().to_owned();
    let told = server.events(&format!("after=0&run_id={id}")).await.until("run.completed").await;
    // Live events have no position in the log.
    let kept = told.iter().filter(|event| event.id.is_some());
    let sequence: Vec<_> = kept.map(|event| event.data["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequence, (1..=sequence.len() as u64).collect::<Vec<_>>(), "moment {moment}");
    let runs = server.get("/v1/agents/ada/runs").await.expect(200);
    assert_eq!((runs.as_array().unwrap().len(), &runs[0]["status"]), (1, &json!("completed")), "moment {moment}");
    for step in 0..STEPS {
        let count = ledger.count(&step.to_string(), &id);
        match step % 2 {
            0 => assert!(count <= 1, "moment {moment}: line {step} was appended {count} times"),
            _ => assert!(count >= 1, "moment {moment}: line {step} was not put"),
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_survives_a_kill_at_every_moment_of_the_journal() {
    let folder = TempDir::new().unwrap();
    let Some(killer) = killer(folder.path()) else { return };
    let ledger = Ledger::open().await;
    let tool = |step: usize| ["append", "put"][step % 2];
    let call = |step: usize| json!({ "tool_calls": [ledger.call(tool(step), &step.to_string())] });
    let steps: Vec<_> = (0..STEPS).map(call).chain([json!({ "text": "done" })]).collect();
    let template = ledger.home(&["ada".to_owned()], json!(steps), false).await;
    let log = folder.path().join("moments");
    let preloaded = |more: (&'static str, String)| {
        let mut options = ledger.options();
        options.extend([("LD_PRELOAD", killer.to_str().unwrap().to_owned()), more]);
        options
    };
    let counting = preloaded(("KILL_LOG", log.to_str().unwrap().to_owned()));
    until_killed(copy(template.path()), &counting).await;
    let moments: usize = fs::read_to_string(&log).unwrap().trim().parse().unwrap();
    // One commit each for the run, its start, and each model call and tool call.
    assert!(moments >= 2 * (2 * STEPS), "{moments}");
    let every = std::env::var_os("EVERY_MOMENT").map_or(moments.div_ceil(SOME), |_| 1);
    let mut taken = 0;
    for moment in (1..=moments).step_by(every) {
        let home = until_killed(copy(template.path()), &preloaded(("KILL_AT", moment.to_string()))).await;
        check(&ledger, home, moment).await;
        taken += 1;
    }
    let told = format!("killed at {taken} of {moments} moments of the journal: completed each time, no effect twice");
    outcome(&format!("a run of {STEPS} steps"), &told);
    println!("{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_runs_end_once_whenever_the_server_is_killed() {
    let (runs, kills) = if std::env::var_os("EVERY_MOMENT").is_some() { (1000, 25) } else { (200, 5) };
    let ledger = Ledger::open().await;
    let agents: Vec<_> = (0..20).map(|agent| format!("agent-{agent}")).collect();
    let steps = json!([{ "tool_calls": [ledger.call("append", "line")] }, { "text": "done" }]);
    let home = ledger.home(&agents, steps, true).await;
    let options = ledger.options();
    let mut running = serve(home.path(), &as_options(&options));
    let mut server = Server::elsewhere(running.1.clone(), home);
    let mut next = 0;
    for kill in 1..=kills {
        let until = runs * kill / kills;
        while next < until {
            let path = format!("/v1/agents/{}/runs", agents[next % agents.len()]);
            let request = server.request(Method::POST, &path).header("Idempotency-Key", format!("run-{next}"));
            let answer =
                send(request.json(&json!({ "task": format!("task {next}"), "session": format!("s-{}", next % 3) })))
                    .await;
            answer.expect(201);
            next += 1;
        }
        // The kill interrupts whatever the server does.
        (running, server) = killed(running.0, server, &options);
    }
    let deadline = Instant::now() + PATIENCE * 4;
    let mut ids = BTreeMap::new();
    for agent in &agents {
        loop {
            let path = format!("/v1/agents/{agent}/runs?limit=1000");
            let all = server.get(&path).await.expect(200).as_array().unwrap().clone();
            if all.iter().all(|run| !run["ended_at"].is_null()) {
                ids.extend(all.into_iter().map(|run| (run["run_id"].as_str().unwrap().to_owned(), run)));
                break;
            }
            assert!(Instant::now() < deadline, "{agent} does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert_eq!(ids.len(), runs);
    for (id, run) in &ids {
        assert_eq!(run["status"], "completed", "{run}");
        assert!(ledger.count("line", id) <= 1, "{id}");
    }
    outcome(&format!("{runs} runs of 20 agents"), &format!("{kills} kills: each ended once, no effect twice"));
    running.0.kill().unwrap();
    running.0.wait().unwrap();
}

fn killed(mut child: Child, mut server: Server, options: &[(&'static str, String)]) -> ((Child, String), Server) {
    child.kill().unwrap();
    child.wait().unwrap();
    let home = std::mem::replace(&mut server.home, TempDir::new().unwrap());
    let running = serve(home.path(), &as_options(options));
    let server = Server::elsewhere(running.1.clone(), home);
    (running, server)
}
