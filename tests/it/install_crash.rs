//! Installs and upgrades that are interrupted by a kill: afterwards the old or the new version works, and no
//! other files remain.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Child,
    thread,
    time::{Duration, Instant},
};

use reqwest::{Method, multipart::Form};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    cli::serve,
    harness::{PATIENCE, Server, form, test_component},
};

const SKILLS: &str = "/v1/agents/ada/skills";

/// Server in its own process, with its own cache.
struct Running {
    server: Server,
    child: Child,
}

impl Running {
    fn start(home: TempDir) -> Self {
        let cache = home.path().join("cache");
        let (child, url) = serve(home.path(), &[("MOXXY_DATA_CACHE", cache.to_str().unwrap())]);
        Self { server: Server::elsewhere(url, home), child }
    }

    fn kill(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.server.home, TempDir::new().unwrap())
    }
}

/// Returns the name and the size of every file below, sorted.
fn files(folder: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    // Files may disappear meanwhile.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(data) if data.is_dir() => found.extend(files(&entry.path())),
            Ok(data) => found.push((entry.file_name().into_string().unwrap(), data.len())),
            Err(_) => {}
        }
    }
    found.sort();
    found
}

/// Kills the server at the n-th change of the files of its components and its database, or when the request has
/// ended with fewer. Returns the data directory, and whether there were that many.
async fn kill_at(running: Running, request: reqwest::RequestBuilder, change: usize) -> (TempDir, bool) {
    let home = running.server.home.path().to_owned();
    let sending = tokio::spawn(request.send());
    let watch = move || {
        let look = || ["components", "cache", "moxxy.db-wal"].map(|part| seen(&home.join(part)));
        let (mut last, mut changes) = (look(), 0);
        let deadline = Instant::now() + PATIENCE;
        while changes < change && !sending.is_finished() {
            assert!(Instant::now() < deadline, "the request takes too long");
            let now = look();
            changes += usize::from(now != last);
            last = now;
            thread::yield_now();
        }
        changes == change
    };
    let reached = tokio::task::spawn_blocking(watch).await.unwrap();
    (running.kill(), reached)
}

fn seen(path: &Path) -> Vec<(String, u64)> {
    if path.is_dir() {
        files(path)
    } else {
        fs::metadata(path).map(|data| (String::new(), data.len())).into_iter().collect()
    }
}

fn consented(component: &str) -> Form {
    form(fs::read(test_component(component)).unwrap(), Some("all"))
}

/// Checks that only the files of installed components remain, once the cleanup at the start has ended, and that
/// no compiler runs any more.
async fn is_tidy(server: &Server) {
    let skills = server.get(SKILLS).await.expect(200);
    let provider = server.get("/v1/providers/offline").await.expect(200)["digest"].clone();
    let digests = skills.as_array().unwrap().iter().flat_map(|skill| [&skill["digest"], &skill["previous"]]);
    let digests = digests.chain([&provider]).filter_map(|digest| digest.as_str()?.strip_prefix("sha256:"));
    let expected: BTreeSet<_> =
        digests.flat_map(|hex| ["wasm", "cwasm", "seal"].map(|extension| format!("{hex}.{extension}"))).collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = ["components", "cache"].map(|folder| files(&server.home.path().join(folder))).concat();
        let found: BTreeSet<_> = found.into_iter().map(|(name, _)| name).collect();
        if found == expected && compilers(server.home.path()) == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "{found:?} instead of {expected:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Returns the number of processes that compile for this data directory.
fn compilers(home: &Path) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let commands = processes.filter_map(|process| fs::read_to_string(process.path().join("cmdline")).ok());
    commands.filter(|command| command.contains("\0compile\0") && command.contains(home.to_str().unwrap())).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_the_old_or_the_new_and_no_litter() {
    let mut running = Running::start(TempDir::new().unwrap());
    running.server.offline("ada", "planner").await;
    let (mut old, mut new) = (0, 0);
    for change in 1.. {
        // First the install: afterwards there is nothing, or version 1.
        let install = running.server.request(Method::POST, &format!("{SKILLS}/install")).multipart(consented("plain"));
        let (home, install_reached) = kill_at(running, install, change).await;
        running = Running::start(home);
        is_tidy(&running.server).await;
        if running.server.get(SKILLS).await.expect(200) == json!([]) {
            running.server.upload("ada", "plain").await.expect(201);
        }
        assert_eq!(version(&running.server).await, "1");
        // Then the upgrade: version 1 or 2.
        let upgrade =
            running.server.request(Method::PUT, &format!("{SKILLS}/plain")).multipart(consented("plain_wider"));
        let (home, upgrade_reached) = kill_at(running, upgrade, change).await;
        running = Running::start(home);
        is_tidy(&running.server).await;
        let version = version(&running.server).await;
        *if version == "1" { &mut old } else { &mut new } += 1;
        let shown = running.server.get(&format!("{SKILLS}/plain")).await.expect(200);
        assert_eq!(shown["version"], format!("{}.0.0", version.as_str().unwrap()));
        running.server.delete(&format!("{SKILLS}/plain")).await.expect(204);
        if !install_reached && !upgrade_reached {
            println!("{change} moments: {old} times the old version, {new} times the new one");
            break;
        }
    }
    assert!(old > 0 && new > 0, "the old {old} times, the new {new} times");
    running.kill();
}

async fn version(server: &Server) -> Value {
    server.invoke("ada", "plain", "version", json!({})).await.expect(200)
}
