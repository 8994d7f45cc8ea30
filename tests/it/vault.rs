//! `/v1/vault/secrets`, `moxxy secret` and `moxxy vault`: values are stored and never returned.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Output, Stdio},
};

use reqwest::Method;
use serde_json::json;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use crate::{
    cli::{moxxy, text},
    harness::{Server, config, send},
};

const VALUE: &str = "ghp_Kq8vYw3nT5xZ1sD7";
const SECRETS: &str = "/v1/vault/secrets";

#[tokio::test]
async fn values_go_in_and_never_come_out() {
    let server = Server::start().await;
    let mut events = server.events("event_type=vault.*&after=0").await;
    let made =
        server.post(SECRETS, json!({ "name": "github", "value": VALUE, "description": "Reads" })).await.expect(201);
    let path = format!("{SECRETS}/{}", made["id"].as_str().unwrap());
    assert_eq!((&made["version"], &made["created_by"]), (&json!(1), &json!("local")));
    let put = |value: &str| server.request(Method::PUT, &path).json(&json!({ "value": value }));
    // The answer does not reveal whether the value is the same.
    let same = send(put(VALUE)).await.expect(200);
    let other = send(put("ghp_something-else")).await.expect(200);
    assert_eq!((&same["version"], &other["version"]), (&json!(2), &json!(3)));
    assert_eq!(other["description"], "Reads");
    let listed = server.get(SECRETS).await.expect(200);
    assert_eq!(listed, json!([other]));
    assert_eq!(server.get(&path).await.expect(200), other);
    server.delete(&path).await.expect(204);
    server.get(&path).await.error(404, "secret_not_found");
    let told = events.until("vault.secret_deleted").await;
    assert_eq!(told.len(), 4);
    let shown = format!("{made}{same}{other}{listed}{:?}", told.iter().map(|event| &event.data).collect::<Vec<_>>());
    assert!(!shown.contains(VALUE), "{shown}");
    let home = server.stop().await;
    for file in ["moxxy.db", "moxxy.db-wal"].map(|name| home.path().join(name)) {
        let bytes = fs::read(file).unwrap_or_default();
        assert!(!bytes.windows(VALUE.len()).any(|bytes| bytes == VALUE.as_bytes()));
    }
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_without_showing_it() {
    let server = Server::start().await;
    server.post(SECRETS, json!({ "name": "github", "value": VALUE })).await.expect(201);
    let again = server.post(SECRETS, json!({ "name": "github", "value": "x" })).await;
    again.error(409, "secret_exists");
    for value in [json!(1_234_567_890), json!([VALUE]), json!({ "a": VALUE }), json!(null)] {
        let message = server.post(SECRETS, json!({ "name": "a", "value": value })).await.error(400, "invalid_input");
        assert!(message.contains("value") && !message.contains("12345") && !message.contains(VALUE), "{message}");
    }
    for value in [String::new(), "v".repeat(64 * 1024 + 1)] {
        server.post(SECRETS, json!({ "name": "a", "value": value })).await.error(400, "invalid_input");
    }
    server.post(SECRETS, json!({ "name": "a b", "value": VALUE })).await.error(400, "invalid_input");
    let message = server.post(SECRETS, json!({ "name": "a", "value": VALUE, VALUE: 1 })).await;
    message.error(400, "invalid_input");
}

fn run(home: &Path, args: &[&str], stdin: &str) -> Output {
    let mut command = moxxy(home);
    let mut child =
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The command may not read it.
    drop(child.stdin.take().unwrap().write_all(stdin.as_bytes()));
    child.wait_with_output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_reads_values_from_stdin_and_files() {
    let server = Server::start().await;
    let (url, home) = (server.url.clone(), server.home.path().to_owned());
    tokio::task::spawn_blocking(move || {
        let file = home.join("value");
        fs::write(&file, VALUE).unwrap();
        let secret = |args: &[&str], stdin: &str| run(&home, &[&["--url", &url, "secret"], args].concat(), stdin);
        let set = secret(&["set", "github", "--description", "Reads issues"], &format!("{VALUE}\n"));
        assert!(text(&set.stdout).starts_with("Kept github (version 1, sec_"), "{set:?}");
        let again = secret(&["set", "github", "--file", file.to_str().unwrap()], "");
        assert!(text(&again.stdout).starts_with("Kept github (version 2"), "{again:?}");
        assert!(text(&secret(&["rotate", "github"], VALUE).stdout).starts_with("Kept github (version 3"));
        assert_eq!(secret(&["rotate", "gitlab"], VALUE).status.code(), Some(5));
        assert_eq!(secret(&["set", "github", "--file", "nothing"], "").status.code(), Some(2));
        let listed = secret(&["list"], "");
        assert!(text(&listed.stdout).contains("Reads issues") && !text(&listed.stdout).contains(VALUE));
        assert_eq!(text(&secret(&["rm", "github"], "").stdout), "Removed github.\n");
        assert!(text(&secret(&["list"], "").stderr).contains("moxxy secret set NAME"));
    })
    .await
    .unwrap();
}

/// Returns a data directory with secrets and its own key.
async fn with_secrets(count: usize) -> TempDir {
    let server = Server::with(|config| config.data.master_key = Default::default()).await;
    for number in 0..count {
        let body = json!({ "name": format!("secret-{number}"), "value": format!("{VALUE}{number}") });
        server.post(SECRETS, body).await.expect(201);
    }
    server.stop().await
}

fn check(home: &Path) -> String {
    let output = run(home, &["vault", "check"], "");
    text(&[output.stdout, output.stderr].concat()).to_owned()
}

#[tokio::test]
async fn a_rotation_that_is_killed_anywhere_leaves_every_secret_readable() {
    let home = with_secrets(40).await;
    let key = || fs::read_to_string(home.path().join("master.key")).unwrap();
    let seen = || {
        ["master.key", "master.key.next", "moxxy.db-wal", "moxxy.db"]
            .map(|name| fs::metadata(home.path().join(name)).ok().map(|data| (data.len(), data.modified().unwrap())))
    };
    let mut ended = false;
    let mut keys = std::collections::BTreeSet::from([key()]);
    for change in 1.. {
        let mut child = moxxy(home.path()).args(["vault", "rotate-key"]).stdout(Stdio::null()).spawn().unwrap();
        let (mut last, mut changes) = (seen(), 0);
        while changes < change && !ended {
            let now = seen();
            changes += usize::from(now != last);
            last = now;
            ended = child.try_wait().unwrap().is_some();
        }
        drop(child.kill());
        child.wait().unwrap();
        assert_eq!(check(home.path()), "The master key opens all secrets: 40.\n");
        assert!(!home.path().join("master.key.next").exists());
        keys.insert(key());
        if ended {
            break;
        }
    }
    assert!(keys.len() > 1, "the last rotation ended, and the key is the old one");
}

#[tokio::test]
async fn neither_another_key_nor_another_row_opens_a_secret() {
    let home = with_secrets(2).await;
    let other = home.path().join("new.key");
    fs::write(&other, "00".repeat(32)).unwrap();
    // A rotation to a given key.
    let rotated = run(home.path(), &["vault", "rotate-key", "--new-key", other.to_str().unwrap()], "");
    assert_eq!(text(&rotated.stdout), "All secrets are sealed by the new master key: 2.\n");
    assert_eq!(fs::read_to_string(home.path().join("master.key")).unwrap(), "00".repeat(32));
    fs::write(home.path().join("master.key"), "11".repeat(32)).unwrap();
    assert!(check(home.path()).contains("is not the one that the secrets and the audit log here are sealed by"));
    // A lost key is not replaced.
    fs::remove_file(home.path().join("master.key")).unwrap();
    assert!(check(home.path()).contains("is not the one that the secrets and the audit log here are sealed by"));
    assert!(!home.path().join("master.key").exists());
    let mut serve = moxxy(home.path());
    let refused = serve.args(["--port", "0", "serve"]).output().unwrap();
    assert!(text(&refused.stderr).contains("MOXXY_MASTER_KEY") && !refused.status.success(), "{refused:?}");
    fs::write(home.path().join("master.key"), "00".repeat(32)).unwrap();
    let database = config(home.path()).database();
    let mut connection = SqliteConnectOptions::new().filename(database).connect().await.unwrap();
    let swap = "UPDATE secrets SET sealed = (SELECT sealed FROM secrets AS other WHERE other.id <> secrets.id)";
    connection.execute(swap).await.unwrap();
    connection.close().await.unwrap();
    assert!(check(home.path()).contains("cannot be opened: its row was changed"), "{}", check(home.path()));
}
