//! Benchmark of the cost of many installed components.
//!
//! Measures the time until a server with them is ready, its memory and its first calls, with all of them loaded
//! and with a tenth.
//!
//! The components are one skill with a unique mark in each, so that their digests differ. Compiling each would
//! take long and is not measured. Only the first is compiled: its compiled code is copied for the others and
//! sealed for their digests.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that cannot go on stops")]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant, SystemTime},
};

use hmac::Mac as _;
use moxxy_types::digest::{self, Digest};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

const MASTER_KEY: [u8; 32] = [7; 32];

/// Server in its own process.
struct Server {
    child: Child,
    http: reqwest::Client,
    url: String,
    checked: mpsc::Receiver<Duration>,
}

impl Server {
    /// Starts the server and waits until it is ready.
    async fn start(home: &Path, loaded: usize) -> (Self, Duration) {
        let started = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_moxxy"))
            .args(["--port", "0", "serve"])
            .env_clear()
            .env("MOXXY_HOME", home)
            .env("MOXXY_MASTER_KEY", hex::encode(MASTER_KEY))
            .env("MOXXY_PLUGINS_LOADED", loaded.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, checked) = mpsc::channel();
        let log = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if line.contains("components were checked") {
                    sender.send(started.elapsed()).unwrap();
                } else if !line.contains("INFO") {
                    eprintln!("{line}");
                }
            }
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().last().unwrap().to_owned();
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        while !http.get(format!("{url}/v1/health")).send().await.is_ok_and(|answer| answer.status() == 200) {}
        (Self { child, http, url, checked }, started.elapsed())
    }

    async fn post(&self, path: &str, body: Value) {
        let answer = self.http.post(format!("{}{path}", self.url)).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    async fn install(&self, number: usize, component: Vec<u8>) {
        let agent = json!({ "name": format!("agent-{number}"), "provider": "offline", "model": "echo" });
        self.post("/v1/agents", agent).await;
        let form = reqwest::multipart::Form::new().part("component", reqwest::multipart::Part::bytes(component));
        let path = format!("{}/v1/agents/agent-{number}/skills/install", self.url);
        assert_eq!(self.http.post(path).multipart(form).send().await.unwrap().status(), 201);
    }

    async fn call(&self, number: usize) -> Duration {
        let start = Instant::now();
        let path = format!("/v1/agents/agent-{number}/skills/text/invoke");
        self.post(&path, json!({ "tool": "word_count", "arguments": { "text": "a b c" } })).await;
        start.elapsed()
    }

    /// Calls every component once, sequentially.
    async fn call_all(&self, count: usize) -> Vec<Duration> {
        let mut times = Vec::new();
        for number in 0..count {
            times.push(self.call(number).await);
        }
        times
    }

    /// Returns the resident and the anonymous memory, in megabytes, and the number of open files.
    fn size(&self) -> (u64, u64, usize) {
        let process = PathBuf::from(format!("/proc/{}", self.child.id()));
        let status = fs::read_to_string(process.join("status")).unwrap();
        let field = |name: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
        };
        (field("VmRSS:"), field("RssAnon:"), fs::read_dir(process.join("fd")).unwrap().count())
    }

    fn show_size(&self, when: &str) {
        let (all, own, files) = self.size();
        println!("  {when:34} {all} MB resident, {own} MB of it anonymous, {files} open files");
    }

    fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

#[tokio::main]
async fn main() {
    for count in [100, 1000] {
        let home = TempDir::new().unwrap();
        install(home.path(), count).await;
        let before = compiled(home.path());
        for loaded in [count, count / 10] {
            measure(home.path(), count, loaded).await;
            let after = compiled(home.path());
            let changed = after.iter().filter(|(path, file)| before.get(*path) != Some(file)).count();
            println!("  compiled since the install: {changed}");
        }
    }
}

async fn measure(home: &Path, count: usize, loaded: usize) {
    let (server, ready) = Server::start(home, loaded).await;
    let early = server.call(count / 2).await;
    println!("{count} components, at most {loaded} loaded: ready after {ready:.1?}");
    server.show_size("when it is ready");
    let checked = server.checked.recv().unwrap();
    let what = format!("all are checked, {loaded} loaded, after");
    println!("  {what:34} {checked:.1?}");
    server.show_size("when they are loaded");
    show("a call at once when it is ready", vec![early]);
    show("the first call of each, then", server.call_all(count).await);
    show("the second call of each", server.call_all(count).await);
    show("calls of one and the same", {
        let mut times = Vec::new();
        for _ in 0..count {
            times.push(server.call(0).await);
        }
        times
    });
    server.show_size("at the end");
    server.stop();
}

/// Installs `count` components, each for its own agent.
async fn install(home: &Path, count: usize) {
    let (server, _) = Server::start(home, 1).await;
    server.post("/v1/providers", json!({ "id": "offline", "component": { "bundled": "offline" } })).await;
    let skill = fs::read(concat!(env!("CARGO_TARGET_TMPDIR"), "/../components/text.wasm")).unwrap();
    let first = marked(&skill, 0);
    let digest = Digest::compute(&first);
    server.install(0, first).await;
    let folder = fs::read_dir(home.join("cache")).unwrap().next().unwrap().unwrap().path();
    let code = fs::read(folder.join(format!("{}.cwasm", digest.hex()))).unwrap();
    let key = digest::derive(&MASTER_KEY, "moxxy compiled code 1");
    for number in 1..count {
        let component = marked(&skill, number);
        let digest = Digest::compute(&component);
        let mut seal = digest::new_hmac(&key);
        seal.update(digest.as_str().as_bytes());
        seal.update(&code);
        fs::write(folder.join(format!("{}.seal", digest.hex())), seal.finalize().into_bytes()).unwrap();
        fs::write(folder.join(format!("{}.cwasm", digest.hex())), &code).unwrap();
        server.install(number, component).await;
    }
    server.stop();
}

/// Returns the skill with a unique custom section.
fn marked(skill: &[u8], number: usize) -> Vec<u8> {
    let content = [&[4][..], b"mark", &number.to_le_bytes()].concat();
    [skill, &[0, u8::try_from(content.len()).unwrap()], &content].concat()
}

/// Returns the files of compiled code, with the inode and the time that change when a file is rewritten.
fn compiled(home: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let folder = fs::read_dir(home.join("cache")).unwrap().next().unwrap().unwrap().path();
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let identity = |path: &Path| {
        let file = path.metadata().unwrap();
        (file.ino(), file.modified().unwrap())
    };
    files.map(|path| (path.clone(), identity(&path))).collect()
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("  {what:34} p50 {p50:>9.1?}  p99 {p99:>9.1?}");
}
