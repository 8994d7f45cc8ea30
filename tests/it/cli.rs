//! The command line.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use crate::{
    harness::{Server, config, test_component},
    restart::KillOnDrop,
    tools,
};

pub(crate) fn moxxy(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moxxy"));
    command.env_clear().env("MOXXY_HOME", home).env("MOXXY_LOG_FILTER", "warn");
    command
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_component_is_inspected_without_a_server() {
    let home = TempDir::new().unwrap();
    let output = moxxy(home.path()).arg("inspect").arg(test_component("misbehave")).output().unwrap();
    let shown = text(&output.stdout);
    assert!(shown.starts_with("misbehave 0.1.0: a skill\n"), "{output:?}");
    assert!(
        shown.contains("\n  asks for secret:key header:Authorization api.example.com: ")
            && shown.contains("\n  tool echo: "),
        "{shown}"
    );
    let output = moxxy(home.path()).arg("inspect").arg(test_component("unknown_import")).output().unwrap();
    assert!(text(&output.stderr).contains("imports `evil:thing/door@1.0.0`"), "{output:?}");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn a_start_that_cannot_work_says_why_and_changes_nothing() {
    let home = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = moxxy(home.path()).args(["--port", &port, "serve"]).output().unwrap();
    assert!(text(&output.stderr).contains("is another Moxxy running? Choose another port"), "{output:?}");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);

    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output = moxxy(&file.join("home")).args(["--port", "0", "serve"]).output().unwrap();
    assert!(text(&output.stderr).contains("Cannot use the data directory"), "{output:?}");
}

#[test]
fn a_start_takes_the_files_it_may_have_and_says_when_they_are_few() {
    let home = TempDir::new().unwrap();
    let mut command = Command::new("sh");
    command.args([
        "-c",
        r#"ulimit -Sn 256 && ulimit -Hn 800 && exec "$0" --port 0 serve"#,
        env!("CARGO_BIN_EXE_moxxy"),
    ]);
    let (mut server, _) = listening(command.env_clear().env("MOXXY_HOME", home.path()).stderr(Stdio::piped()));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    server.kill().unwrap();
    let log = server.wait_with_output().unwrap().stderr;
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["800", "800"]);
    let told = "allows 187 of 1024 connections of clients, 187 of 256 outgoing connections, and 187 of 1000 loaded";
    assert!(text(&log).contains(told), "{}", text(&log));
    // Colours are only for terminals.
    assert!(!text(&log).contains('\u{1b}'), "{}", text(&log));
}

/// Starts a server with limits of the shell's `ulimit`.
fn limited(home: &Path, limits: &str) -> Command {
    let mut command = Command::new("sh");
    let script = format!(r#"{limits} && exec "$0" --port 0 serve"#);
    command.args(["-c", &script, env!("CARGO_BIN_EXE_moxxy")]).env_clear().env("MOXXY_HOME", home);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_few_files_works_and_one_with_too_few_says_so() {
    let home = TempDir::new().unwrap();
    let output = limited(home.path(), "ulimit -n 40").output().unwrap();
    assert!(
        text(&output.stderr).contains("The limit on open files is 40, and the server needs at least 64"),
        "{output:?}"
    );
    let (process, url) = listening(&mut limited(home.path(), "ulimit -n 64"));
    let _process = KillOnDrop(process);
    let server = std::sync::Arc::new(Server::elsewhere(url, home));
    server.offline("ada", "echo").await;
    // More clients than it has connections for: each is served, or turned away while the others go on.
    let clients = (0..40).map(|_| {
        let server = std::sync::Arc::clone(&server);
        tokio::spawn(async move { server.request(reqwest::Method::GET, "/v1/agents").send().await.is_ok() })
    });
    let mut served = 0;
    for client in clients.collect::<Vec<_>>() {
        served += usize::from(client.await.unwrap());
    }
    assert!(served > 0);
    assert_eq!(server.run("ada", "still here").await["output"], "still here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lack_of_memory_is_no_fault_of_a_component() {
    let home = TempDir::new().unwrap();
    let (process, url) = listening(&mut limited(home.path(), "ulimit -v 1500000"));
    let _process = KillOnDrop(process);
    let server = Server::elsewhere(url, home);
    let provider = json!({ "id": "offline", "component": { "bundled": "offline" } });
    let answer = server.post("/v1/providers", provider).await;
    if answer.status != 201 {
        let told = answer.body["error"].as_str().unwrap().to_owned();
        assert!(["compiler_failed", "out_of_memory"].contains(&answer.body["code"].as_str().unwrap()), "{told}");
        assert!(told.contains("ulimit -v"), "{told}");
        assert_eq!(answer.status, 503);
    }
}

#[tokio::test]
async fn a_newer_database_is_left_alone() {
    let home = Server::start().await.stop().await;
    let database = home.path().join("moxxy.db");
    let mut connection = SqliteConnectOptions::new().filename(&database).connect().await.unwrap();
    let later = "INSERT INTO _sqlx_migrations VALUES (9999, 'later', CURRENT_TIMESTAMP, 1, x'00', 1)";
    sqlx::query(later).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let output = moxxy(home.path()).args(["--port", "0", "serve"]).output().unwrap();
    assert!(text(&output.stderr).contains("was written by a newer Moxxy (its schema has version 9999)"), "{output:?}");
}

#[test]
fn a_data_directory_has_one_server_and_a_signal_ends_it() {
    let home = TempDir::new().unwrap();
    let (mut first, _) = serve(home.path(), &[]);
    let output = moxxy(home.path()).args(["--port", "0", "serve"]).output().unwrap();
    assert!(text(&output.stderr).contains("Another Moxxy is using the data directory"), "{output:?}");
    let ended = Command::new("kill").args(["-TERM", &first.id().to_string()]).status().unwrap();
    assert!(ended.success());
    assert_eq!(first.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_a_server_that_waits_for_a_run() {
    let home = TempDir::new().unwrap();
    let (mut process, url) = serve(home.path(), &[("MOXXY_SERVER_SHUTDOWN_GRACE", "600")]);
    let authority = url.strip_prefix("http://").unwrap().to_owned();
    let server = Server::elsewhere(url, home);
    server.scripted("ada", json!([{ "text": "late", "delay_ms": 600_000 }])).await;
    let mut events = server.events("agent_id=ada").await;
    server.start_run("ada", json!({ "task": "one" })).await;
    events.until("model.request").await;
    let signal = || Command::new("kill").args(["-INT", &process.id().to_string()]).status().unwrap();
    assert!(signal().success());
    // After the first signal the server accepts no connection.
    while tokio::net::TcpStream::connect(&authority).await.is_ok() {
        tokio::task::yield_now().await;
    }
    // The run has not ended yet, so the data directory is in use.
    let output = moxxy(server.home.path()).args(["--port", "0", "serve"]).output().unwrap();
    assert!(text(&output.stderr).contains("Another Moxxy is using the data directory"), "{output:?}");
    assert!(signal().success());
    assert_eq!(process.wait().unwrap().code(), Some(130));
}

#[tokio::test]
async fn a_run_goes_on_after_its_server_was_killed() {
    let home = TempDir::new().unwrap();
    let (mut first, url) = serve(home.path(), &[]);
    let server = Server::elsewhere(url, home);
    server.scripted("ada", json!([{ "text": "late", "delay_ms": 4000 }])).await;
    let mut events = server.events("agent_id=ada").await;
    server.start_run("ada", json!({ "task": "one" })).await;
    events.until("model.request").await;
    first.kill().unwrap();
    first.wait().unwrap();
    let server = Server::at(server.stop().await, |_| {}).await;
    let events = server.events("agent_id=ada&after=0").await.until("run.completed").await;
    assert_eq!(events.iter().filter(|event| event.kind == "model.request").count(), 2);
    assert_eq!(events.iter().filter(|event| event.kind == "message.user").count(), 1);
}

#[test]
fn what_a_start_prints_can_be_pasted() {
    let Some(_) = tools::find(&["curl"]) else { return };
    let tls = |name: &str| format!("{}/../../tests/it/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let (certificate, key) = (tls("server.pem"), tls("server.key"));
    let tls = [("MOXXY_SERVER_TLS_CERTIFICATE", &*certificate), ("MOXXY_SERVER_TLS_KEY", &*key)];
    let cases = [("127.0.0.1", "https://127.0.0.1:", &tls[..]), ("0.0.0.0", "http://127.0.0.1:", &[])];
    for (listen, url, tls) in cases {
        let home = TempDir::new().unwrap();
        let mut command = server(home.path(), &[&[("MOXXY_LOOPBACK", "false")], tls].concat());
        let arguments = ["--port", "0", "serve", "--demo", "--listen", listen];
        let offline = (listen == "0.0.0.0").then(|| {
            let refused = server(home.path(), &[("MOXXY_LOOPBACK", "false")]).args(arguments).output().unwrap();
            let advice = text(&refused.stderr).split('`').nth_back(1).unwrap().replace("moxxy ", "\"$0\" ");
            let mut advised = Command::new("bash");
            let key = config(home.path()).data.configured_key().unwrap().to_owned();
            advised.env_clear().env("HOME", home.path()).env("MOXXY_MASTER_KEY", key);
            advised.args(["-c", &advice, env!("CARGO_BIN_EXE_moxxy")]);
            advised.output().unwrap().stdout
        });
        let serve = command.args(arguments).stdout(Stdio::piped());
        let mut serve = serve.spawn().unwrap();
        let mut lines = BufReader::new(serve.stdout.take().unwrap()).lines().map(Result::unwrap);
        let printed: Vec<_> =
            lines.by_ref().filter(|line| line.starts_with("curl ")).take(3 + usize::from(offline.is_none())).collect();
        assert!(printed.iter().all(|line| line.contains(url)), "{printed:?}");
        let paste = |line: &str, token: &str| {
            Command::new("bash").args(["-c", line]).env("MOXXY_TOKEN", token).stdout(Stdio::piped()).spawn().unwrap()
        };
        let answer = |line: &str, token: &str| -> Value {
            let output = paste(line, token).wait_with_output().unwrap();
            serde_json::from_slice(&output.stdout).unwrap()
        };
        let token = match &offline {
            Some(token) => text(token).trim().to_owned(),
            None => answer(&printed[0], "")["token"].as_str().unwrap().to_owned(),
        };
        let [run, history, events] = &printed[printed.len() - 3..] else { unreachable!() };
        assert_eq!(answer(run, &token)["status"], "completed");
        assert_eq!(answer(history, &token)[0]["role"], "user");
        let mut events = paste(&format!("exec {events}"), &token);
        let mut sent = BufReader::new(events.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(sent.any(|line| line == "event: run.completed"));
        for mut child in [events, serve] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// Starts a server and waits for its first line, which has its address.
pub(crate) fn serve(home: &Path, options: &[(&str, &str)]) -> (Child, String) {
    listening(server(home, options).args(["--port", "0", "serve"]))
}

/// Starts a server that logs everything to a file.
pub(crate) fn serve_logging(home: &Path, options: &[(&str, &str)], log: &Path) -> (Child, String) {
    let mut command = server(home, &[&[("MOXXY_LOG_FILTER", "trace")], options].concat());
    listening(command.args(["--port", "0", "serve"]).stderr(std::fs::File::create(log).unwrap()))
}

/// Returns the command of a server that finds the components that are compiled already.
fn server(home: &Path, options: &[(&str, &str)]) -> Command {
    let config = config(home);
    let mut command = moxxy(home);
    command
        .env("MOXXY_DATA_CACHE", &config.data.cache)
        .env("MOXXY_MASTER_KEY", config.data.configured_key().unwrap())
        .envs(options.iter().copied());
    command
}

/// Starts a server that may die at once; it then has no address.
pub(crate) fn begin(home: &Path, options: &[(&str, &str)]) -> (Child, Option<String>) {
    begun(server(home, options).args(["--port", "0", "serve"]))
}

fn listening(command: &mut Command) -> (Child, String) {
    let (child, url) = begun(command);
    (child, url.unwrap())
}

fn begun(command: &mut Command) -> (Child, Option<String>) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.strip_prefix("Moxxy 0.1.0 listens on ").map(|url| url.trim().to_owned());
    (child, url)
}
