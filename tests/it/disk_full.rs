//! Full disk: writes fail cleanly and reads continue. When there is space again, everything works without a
//! restart, and no run is lost.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::Command,
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Executor as _, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use crate::{
    harness::{Answer, PATIENCE, Server, config, form, send, test_component},
    outcomes::outcome,
};

/// File system of a few mebibytes, unmounted on drop.
struct Disk(TempDir);

impl Disk {
    fn mount() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=12m,mode=700", "tmpfs"]).arg(folder.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        // No package would change that, so the test does not fail; the table of outcomes shows it.
        outcome("a full disk", "skipped: this machine lets nobody mount a file system");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills the disk except for `rest` bytes.
    fn fill(&self, rest: u64) {
        let mut ballast = File::create(self.path().join("ballast")).unwrap();
        while ballast.write_all(&[1; 1 << 12]).is_ok() {}
        let size = ballast.metadata().unwrap().len();
        ballast.set_len(size - rest).unwrap();
    }

    fn make_room(&self) {
        fs::remove_file(self.path().join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(self.path()).status());
    }
}

/// Repeats a request until the free space of the database is used up. Returns the number of accepted requests.
async fn refused(mut ask: impl AsyncFnMut(usize) -> Answer) -> usize {
    for number in 0..20_000 {
        let answer = ask(number).await;
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            assert!(["disk_full", "database_failed"].contains(&answer.body["code"].as_str().unwrap()), "{answer:?}");
            return number;
        }
        assert!(answer.status.is_success(), "{answer:?}");
    }
    panic!("the disk is not full");
}

async fn runs_of(server: &Server, agent: &str) -> Vec<Value> {
    let (mut runs, mut path) = (Vec::new(), format!("/v1/agents/{agent}/runs?limit=1000"));
    loop {
        let page = server.get(&path).await;
        let next = page.headers.get("link").map(|link| link.to_str().unwrap().to_owned());
        runs.extend(page.expect(200).as_array().unwrap().clone());
        let Some(next) = next else { return runs };
        path = next.strip_prefix('<').unwrap().split_once('>').unwrap().0.to_owned();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_fails_clean_and_loses_no_run() {
    let Some(disk) = Disk::mount() else { return };
    let server = Server::at(TempDir::new_in(disk.path()).unwrap(), |_| {}).await;
    let steps = json!({ "steps": [{ "text": "the answer", "delay_ms": 3000, "stream": true }], "repeat": true });
    server.scripted_with("slow", steps, json!({})).await;
    server.offline("ada", "echo").await;
    // Runs that end their model call when the disk is full.
    let mut live = server.events("agent_id=slow").await;
    let start = async |session: usize| {
        let body = json!({ "task": "go", "session": format!("s{session}") });
        server.start_run("slow", body).await["run_id"].as_str().unwrap().to_owned()
    };
    let mut slow = Vec::new();
    for session in 0..4 {
        slow.push(start(session).await);
        live.until("model.request").await;
    }
    disk.fill(1 << 20);
    let task = "x".repeat(3000);
    // Each in its own session, so that no queue is full.
    let body = |number: usize| json!({ "task": task, "session": format!("n{number}") });
    let new = |number: usize| server.post("/v1/agents/ada/runs", body(number));
    let started = refused(async |number| new(number).await).await;
    // Every kind of write is rejected and leaves nothing behind.
    let secrets = "/v1/vault/secrets";
    let secret = |number: usize| json!({ "name": format!("s{number}"), "value": "v".repeat(3000) });
    let kept = refused(async |number| server.post(secrets, secret(number)).await).await;
    refused(async |_| server.patch("/v1/agents/ada", json!({ "persona": "x".repeat(3000) })).await).await;
    let component = fs::read(test_component("misbehave")).unwrap();
    let installing =
        server.request(Method::POST, "/v1/agents/ada/skills/install").multipart(form(component, Some("all")));
    send(installing).await.error(503, "disk_full");
    // Reads work as before.
    assert_eq!(server.get("/v1/health").await.expect(200)["status"], "ok");
    assert_eq!(runs_of(&server, "ada").await.len(), started);
    assert_eq!(
        server.get(&format!("{secrets}?limit=1000")).await.expect(200).as_array().unwrap().len(),
        kept.min(1000)
    );
    assert_eq!(server.get("/v1/agents/ada/skills").await.expect(200), json!([]));
    assert_eq!(fs::read_dir(server.home.path().join("components/sha256")).unwrap().count(), 2);
    server.events("after=0").await.next().await.unwrap();
    // The answers have arrived and wait for disk space.
    for _ in 0..slow.len() {
        while !live.next().await.unwrap().data["payload"]["text"].as_str().is_some_and(|text| text.contains("answer")) {
        }
    }
    let unfinished = runs_of(&server, "slow").await.iter().filter(|run| run["status"] == "running").count();
    println!("{unfinished} of {} runs waited for room; {started} had been started beside them", slow.len());
    disk.make_room();
    is_well(&server, &slow, started).await;
}

/// Checks that everything works again and every run completes.
async fn is_well(server: &Server, slow: &[String], started: usize) {
    let more = tokio::time::timeout(PATIENCE, async {
        while server.post("/v1/agents/ada/runs", json!({ "task": "more" })).await.status != StatusCode::CREATED {}
    });
    more.await.expect("there is room, and runs are refused");
    server.upload("ada", "misbehave").await.expect(201);
    for run in slow {
        let told = server.events(&format!("run_id={run}&after=0")).await.until("run.completed").await;
        let kinds: Vec<_> = told.iter().map(|event| &*event.kind).collect();
        let expected = [
            "run.queued",
            "run.started",
            "message.user",
            "model.request",
            "model.response",
            "message.assistant",
            "run.completed",
        ];
        assert_eq!(kinds, expected, "a model was asked twice, or its answer was lost");
    }
    assert_eq!(server.run("ada", "last").await["output"], "last");
    let mut ended = server.events("agent_id=ada&event_type=run.completed&after=0").await;
    for _ in 0..started + 2 {
        ended.next().await.unwrap();
    }
    let runs = runs_of(server, "ada").await;
    assert_eq!(runs.len(), started + 2);
    assert!(runs.iter().all(|run| run["status"] == "completed"), "{runs:?}");
}

#[tokio::test]
async fn another_program_that_writes_is_waited_for() {
    let server = Server::start().await;
    let options = SqliteConnectOptions::new().filename(config(server.home.path()).database());
    let mut other = options.connect().await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let secret = json!({ "name": "key", "value": "a-value-of-some-length" });
    let meanwhile = async {
        // Reads do not wait.
        for _ in 0..20 {
            assert_eq!(server.get("/v1/vault/secrets").await.expect(200), json!([]));
        }
        other.execute("ROLLBACK").await.unwrap();
    };
    let (kept, ()) = tokio::join!(server.post("/v1/vault/secrets", secret), meanwhile);
    kept.expect(201);
}
