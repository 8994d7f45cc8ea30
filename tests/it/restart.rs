//! State after a restart, and after a crash.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::{
    cli::serve,
    harness::{Server, config, send},
};

fn compiled(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(compiled(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "cwasm") {
            found.push(entry);
        }
    }
    found
}

#[tokio::test]
async fn everything_is_there_after_a_restart_and_nothing_is_compiled_again() {
    let server = Server::start().await;
    server.offline("ada", "planner").await;
    server.install("ada", "text").await;
    server.run("ada", "Count the words in \"a b\"").await;
    let before = server.get("/v1/agents/ada/history").await.expect(200);
    let home = server.stop().await;
    // A compiler that cannot run: every compilation fails.
    let server = Server::at(home, |config| config.plugins.compiler = Some("/nonexistent".into())).await;
    assert_eq!(server.get("/v1/agents/ada/history").await.expect(200), before);
    let run = server.run("ada", "Count the words in \"a b c\"").await;
    assert_eq!(run["output"], "The result of word_count: words 3, characters 5, lines 1.");
}

#[tokio::test]
async fn compiled_code_that_was_changed_is_not_run() {
    let server = Server::with(|config| config.data.cache = config.data.home.join("cache")).await;
    server.offline("ada", "echo").await;
    let home = server.stop().await;
    let code = compiled(&home.path().join("cache"));
    assert_eq!(code.len(), 1);
    let mut bytes = fs::read(&code[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&code[0], &bytes).unwrap();
    let own_cache = |config: &mut moxxy_server::config::Config| config.data.cache = config.data.home.join("cache");
    let server = Server::at(home, own_cache).await;
    assert_eq!(server.run("ada", "compiled again").await["output"], "compiled again");
    assert_ne!(fs::read(&code[0]).unwrap(), bytes);
}

#[tokio::test]
async fn an_upload_that_was_changed_is_not_used() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let home = server.stop().await;
    let upload = fs::read_dir(home.path().join("components/sha256")).unwrap().next().unwrap().unwrap().path();
    fs::write(upload, b"something else").unwrap();
    let server = Server::at(home, |_| {}).await;
    let run = server.run("ada", "go").await;
    assert_eq!(run["error"]["code"], "component_unavailable");
}

#[tokio::test]
async fn a_shutdown_pauses_runs_and_the_next_start_takes_them_up() {
    let server = Server::with(|config| config.server.shutdown_grace = 1).await;
    let steps = json!([{ "text": "done", "delay_ms": 4000 }, { "text": "next" }]);
    server.scripted("ada", steps).await;
    let mut events = server.events("agent_id=ada").await;
    let first = server.start_run("ada", json!({ "task": "one" })).await;
    server.start_run("ada", json!({ "task": "two" })).await;
    events.until("model.request").await;
    let home = server.stop().await;
    let server = Server::at(home, |_| {}).await;
    let path = format!("run_id={}&after=0", first["run_id"].as_str().unwrap());
    let told = server.events(&path).await.until("run.completed").await;
    let resumed = told.iter().find(|event| event.kind == "run.resumed").unwrap();
    let interrupted = &resumed.data["payload"]["interrupted"][0];
    assert_eq!((&interrupted["kind"], &interrupted["outcome"]), (&json!("model"), &json!("repeated")));
    server.events("agent_id=ada&after=0").await.until("run.completed").await;
}

#[tokio::test]
async fn a_tool_that_was_cut_off_is_not_repeated() {
    let server = Server::with(|config| config.server.shutdown_grace = 1).await;
    let call = json!({ "name": "misbehave__sleep", "arguments": { "ms": 20_000 } });
    server.scripted("ada", json!([{ "tool_calls": [call] }, { "record": true }])).await;
    server.upload("ada", "misbehave").await.expect(201);
    let mut events = server.events("agent_id=ada").await;
    server.start_run("ada", json!({ "task": "one" })).await;
    events.until("skill.invoked").await;
    let server = Server::at(server.stop().await, |_| {}).await;
    let told = server.events("agent_id=ada&after=0").await.until("run.completed").await;
    assert_eq!(told.iter().filter(|event| event.kind == "skill.invoked").count(), 1);
    let output: Value = serde_json::from_str(told.last().unwrap().data["payload"]["output"].as_str().unwrap()).unwrap();
    let result = output["messages"][2]["tool_results"][0]["content"].as_str().unwrap();
    assert!(result.contains("Its outcome is unknown"), "{result}");
}

#[tokio::test]
async fn a_tool_that_was_cut_off_is_repeated_if_the_operator_says_so() {
    let server = Server::with(|config| config.server.shutdown_grace = 0).await;
    let call = json!({ "name": "misbehave__sleep", "arguments": { "ms": 2000 } });
    server.scripted("ada", json!([{ "tool_calls": [call] }, { "record": true }])).await;
    server.upload("ada", "misbehave").await.expect(201);
    let policy = server.request(Method::PUT, "/v1/agents/ada/tool-policy");
    send(policy.json(&json!({ "idempotent": ["misbehave__sl*"] }))).await.expect(200);
    let mut events = server.events("agent_id=ada").await;
    server.start_run("ada", json!({ "task": "one" })).await;
    events.until("skill.invoked").await;
    let server = Server::at(server.stop().await, |_| {}).await;
    let told = server.events("agent_id=ada&after=0").await.until("run.completed").await;
    assert_eq!(told.iter().filter(|event| event.kind == "skill.invoked").count(), 2);
    let resumed = told.iter().find(|event| event.kind == "run.resumed").unwrap();
    assert_eq!(resumed.data["payload"]["interrupted"][0]["outcome"], "repeated");
    let output: Value = serde_json::from_str(told.last().unwrap().data["payload"]["output"].as_str().unwrap()).unwrap();
    assert_eq!(output["messages"][2]["tool_results"][0]["is_error"], false);
}

#[tokio::test]
async fn a_stop_that_was_promised_holds_after_a_restart() {
    let server = Server::with(|config| config.server.shutdown_grace = 0).await;
    server.scripted("ada", json!([{ "text": "late", "delay_ms": 20_000 }, { "text": "next" }])).await;
    let mut events = server.events("agent_id=ada").await;
    let run = server.start_run("ada", json!({ "task": "one" })).await;
    events.until("model.request").await;
    let path = format!("/v1/agents/ada/runs/{}", run["run_id"].as_str().unwrap());
    server.post(&format!("{path}/stop"), json!({ "mode": "step" })).await.expect(200);
    let server = Server::at(server.stop().await, |_| {}).await;
    server.events("agent_id=ada&after=0").await.until("run.cancelled").await;
    assert_eq!(server.get(&path).await.expect(200)["status"], "cancelled");
}

#[tokio::test]
async fn a_shutdown_waits_for_nobody_longer_than_its_grace() {
    let server = Server::with(|config| config.server.shutdown_grace = 1).await;
    let mut stuck = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await.unwrap();
    let half = format!(
        "POST /v1/agents HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{{",
        server.authority()
    );
    stuck.write_all(half.as_bytes()).await.unwrap();
    let mut other = server.events("after=0").await;
    server.stop().await;
    assert!(other.next().await.is_none());
}

#[tokio::test]
async fn secrets_and_data_are_private_to_the_user() {
    let home = tempfile::TempDir::new().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let server = Server::at(home, |config| config.data.master_key = Default::default()).await;
    let home = server.home.path();
    assert_eq!(mode(&home.join("master.key")), 0o600);
    assert_eq!(mode(&home.join("moxxy.db")), 0o600);
    assert_eq!(mode(&home.join("moxxy.db-wal")), 0o600);
    assert_eq!(mode(&home.join("components")), 0o700);
    assert!(!format!("{:?}", config(home)).contains("5a5a"));
}

#[tokio::test]
async fn the_time_that_a_server_was_down_is_not_the_runs() {
    let server = Server::with(|config| config.server.shutdown_grace = 0).await;
    let steps = json!({ "steps": [{ "text": "done", "delay_ms": 1500 }] });
    server.scripted_with("ada", steps, json!({ "max_seconds": 30 })).await;
    let mut events = server.events("agent_id=ada").await;
    server.start_run("ada", json!({ "task": "go" })).await;
    events.until("model.request").await;
    let home = server.stop().await;
    let later = || time::OffsetDateTime::now_utc() + time::Duration::hours(1);
    let config = config(home.path());
    let server = Server::configured(home, config, moxxy_types::clock::Clock::new(later)).await;
    server.events("agent_id=ada&after=0").await.until("run.completed").await;
}

/// A server that ends with its test, also when that fails.
pub(crate) struct KillOnDrop(pub Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A laptop that sleeps, or a shell's Ctrl-Z.
#[tokio::test]
async fn a_server_that_was_stopped_for_longer_than_its_limits_goes_on() {
    let home = TempDir::new().unwrap();
    let limits = [("MOXXY_PLUGINS_FIRST_TOKEN", "3000"), ("MOXXY_PLUGINS_PROVIDER_WALL", "3000")];
    let (process, url) = serve(home.path(), &limits);
    let process = KillOnDrop(process);
    let server = Server::elsewhere(url, home);
    server.scripted("ada", json!([{ "text": "late", "delay_ms": 1000 }])).await;
    let patch = json!({ "limits": { "max_seconds": 3 } });
    send(server.request(Method::PATCH, "/v1/agents/ada").json(&patch)).await.expect(200);
    let mut events = server.events("agent_id=ada").await;
    server.start_run("ada", json!({ "task": "one" })).await;
    events.until("model.request").await;
    let signal = |name: &str| Command::new("kill").args([name, &process.0.id().to_string()]).status().unwrap();
    assert!(signal("-STOP").success());
    // Nothing can be awaited while the process does nothing.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(signal("-CONT").success());
    events.until("run.completed").await;
}
