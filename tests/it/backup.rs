//! `moxxy backup` and `moxxy restore`: a backup is complete and consistent, and a restored server does nothing
//! before it is activated.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Output,
    sync::atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use crate::{
    cli::{moxxy, text},
    harness::{Server, config},
};

fn key(home: &Path) -> String {
    config(home).data.configured_key().unwrap().to_owned()
}

fn command(home: &Path, key: &str, arguments: &[&str]) -> Output {
    moxxy(home).env("MOXXY_MASTER_KEY", key).args(arguments).output().unwrap()
}

#[track_caller]
fn works(home: &Path, arguments: &[&str]) -> String {
    let output = command(home, &key(home), arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// Returns the error output of a command that fails.
#[track_caller]
fn fails(home: &Path, key: &str, arguments: &[&str]) -> String {
    let output = command(home, key, arguments);
    assert!(!output.status.success(), "{arguments:?}: {output:?}");
    text(&output.stderr).to_owned()
}

fn files(home: &Path) -> Vec<String> {
    let names = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "moxxy.lock").collect()
}

/// Starts a server with data of every kind, and a run that does not end.
async fn busy() -> (Server, String) {
    let server = Server::start().await;
    server.scripted_with("ada", json!({ "steps": [{ "text": "done" }], "repeat": true }), json!({})).await;
    server.install("ada", "text").await;
    server.upload("ada", "misbehave").await.expect(201);
    let secret = json!({ "name": "key", "value": "a-value-of-some-length" });
    let id = server.post("/v1/vault/secrets", secret).await.expect(201)["id"].clone();
    server.post("/v1/vault/grants", json!({ "agent_id": "ada", "secret_id": id })).await.expect(201);
    server.scripted("late", json!([{ "text": "late", "delay_ms": 300_000 }])).await;
    let mut events = server.events("agent_id=late").await;
    let late = server.start_run("late", json!({ "task": "go" })).await;
    events.until("model.request").await;
    (server, format!("/v1/agents/late/runs/{}", late["run_id"].as_str().unwrap()))
}

/// Takes backups under a constant load of runs, and returns the last one.
async fn taken_under_load(server: &Server, folder: &Path) -> PathBuf {
    let (done, home) = (AtomicBool::new(false), server.home.path().to_owned());
    let last = folder.join("3.moxxy");
    let backups = async {
        let files: Vec<_> = (1..=3).map(|number| folder.join(format!("{number}.moxxy"))).collect();
        let take =
            move || files.iter().map(|file| works(&home, &["backup", file.to_str().unwrap()])).collect::<Vec<_>>();
        let said = tokio::task::spawn_blocking(take).await.unwrap();
        done.store(true, Ordering::SeqCst);
        said
    };
    let load = async |session: usize| {
        while !done.load(Ordering::SeqCst) {
            let body = json!({ "task": "go", "session": format!("s{session}") });
            server.start_run("ada", body).await;
        }
    };
    let load = futures_util::future::join_all((0..4).map(load));
    let (said, _) = tokio::join!(backups, load);
    assert!(
        said[2].contains("the database and 3 components") && said[2].contains("The master key is not in it"),
        "{said:?}"
    );
    last
}

/// Checks that every run of a session ended before the next began, and that each has all its messages. Returns
/// the number of completed runs.
async fn is_whole(server: &Server) -> usize {
    let runs = server.get("/v1/agents/ada/runs?limit=1000").await.expect(200);
    let mut completed = 0;
    for run in runs.as_array().unwrap() {
        let of_run = format!("/v1/agents/ada/history?run_id={}", run["run_id"].as_str().unwrap());
        let messages = server.get(&of_run).await.expect(200).as_array().unwrap().len();
        match run["status"].as_str().unwrap() {
            "completed" => (assert_eq!(messages, 2), completed += 1).1,
            "running" => assert_eq!(messages, 1),
            other => assert_eq!((other, messages), ("queued", 0)),
        }
    }
    completed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_is_restored_whole_and_waits_for_its_activation() {
    let (server, late) = busy().await;
    let grants = server.get("/v1/vault/grants").await.expect(200);
    let folder = TempDir::new().unwrap();
    let file = taken_under_load(&server, folder.path()).await;
    let file = file.to_str().unwrap();
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    let home = TempDir::new().unwrap();
    // A wrong or missing key restores nothing.
    for key in ["00".repeat(32), String::new()] {
        let said = fails(home.path(), &key, &["restore", file]);
        assert!(said.contains("is not the one that the secrets") && said.contains("`master.key`"), "{said}");
        assert_eq!(files(home.path()), [""; 0]);
    }
    let said = works(home.path(), &["restore", file]);
    assert!(said.contains("3 components, 1 secrets that the master key opens"), "{said}");
    assert!(works(home.path(), &["audit", "verify"]).contains("entries, from 1 on"));
    let cancelled = copied(home.path());

    let restored = Server::at(home, |_| {}).await;
    assert_eq!(restored.get("/v1/health").await.expect(200)["status"], "restored");
    assert_eq!(restored.get("/v1/vault/grants").await.expect(200), grants);
    let completed = is_whole(&restored).await;
    for (path, body) in [
        ("/v1/agents/late/runs", json!({ "task": "go" })),
        ("/v1/agents/ada/skills/text/invoke", json!({ "tool": "word_count", "arguments": { "text": "a" } })),
    ] {
        let refused = restored.post(path, body).await.error(503, "not_activated");
        assert!(refused.contains("moxxy restore --activate --resume"), "{refused}");
    }
    let untouched = restored.get(&late).await.expect(200);
    assert_eq!((&untouched["status"], untouched["steps"].as_array().unwrap().len()), (&json!("running"), 1));
    assert_eq!(is_whole(&restored).await, completed);
    // A subscriber at a position after the backup gets no other events in place of those it saw.
    restored.events("after=100000").await;
    let quick = json!({ "config": { "steps": [{ "text": "done" }] } });
    restored.patch("/v1/providers/late", quick).await.expect(200);
    let home = restored.stop().await;
    assert!(fails(home.path(), &key(home.path()), &["restore", "--activate"]).contains("--resume"));
    assert!(works(home.path(), &["restore", "--activate", "--resume"]).contains("Activated. Runs that go on"));
    assert!(fails(home.path(), &key(home.path()), &["restore", "--activate", "--resume"]).contains("Nothing waits"));

    let active = Server::at(home, |_| {}).await;
    assert_eq!(active.get("/v1/health").await.expect(200)["status"], "ok");
    active.events("agent_id=late&after=0").await.until("run.completed").await;
    assert_eq!(active.get(&late).await.expect(200)["output"], "done");
    let counted = active.invoke("ada", "text", "word_count", json!({ "text": "a b" })).await.expect(200);
    assert_eq!(counted["words"], 2);
    is_cancelled(cancelled, &late).await;
}

/// Checks an activation with `--cancel`.
async fn is_cancelled(home: TempDir, late: &str) {
    assert!(works(home.path(), &["restore", "--activate", "--cancel"]).contains("Runs that were cancelled:"));
    assert!(works(home.path(), &["audit", "verify"]).contains("entries, from 1 on"));
    let server = Server::at(home, |_| {}).await;
    assert_eq!(server.get(late).await.expect(200)["status"], "cancelled");
    let by = server.get("/v1/audit?event_type=run.cancelled&agent_id=late").await.expect(200);
    assert_eq!(by[0]["actor"], "offline");
}

fn copied(home: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    let copying = std::process::Command::new("cp").arg("-r").arg(home.join(".")).arg(copy.path()).status();
    assert!(copying.unwrap().success());
    copy
}

async fn change(file: &Path, sql: &str) {
    let mut db = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    db.execute(sqlx::AssertSqlSafe(sql.to_owned())).await.unwrap();
    db.close().await.unwrap();
}

#[tokio::test]
async fn nothing_is_overwritten_and_what_is_no_whole_backup_is_refused() {
    let server = Server::start().await;
    server.offline("ada", "planner").await;
    server.install("ada", "text").await;
    let home = server.stop().await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("backup");
    works(home.path(), &["backup", file.to_str().unwrap()]);
    let again = fails(home.path(), &key(home.path()), &["backup", file.to_str().unwrap()]);
    assert!(again.contains("is there already, and is not overwritten"), "{again}");
    let used = fails(home.path(), &key(home.path()), &["restore", file.to_str().unwrap()]);
    assert!(used.contains("into an empty data directory"), "{used}");
    let empty = TempDir::new().unwrap();
    let nothing = fails(empty.path(), &key(empty.path()), &["backup", folder.path().join("new").to_str().unwrap()]);
    assert!(nothing.contains("There is nothing to back up"), "{nothing}");

    let whole = fs::read(&file).unwrap();
    let variant = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let mut damaged = whole.clone();
    damaged[8192..10_000].fill(0xa5);
    let changed = variant("changed", &whole);
    change(&changed, "UPDATE backup_components SET bytes = x'00'").await;
    let lacking = variant("lacking", &whole);
    change(&lacking, "DELETE FROM backup_components").await;
    let newer = variant("newer", &whole);
    change(&newer, "INSERT INTO _sqlx_migrations VALUES (9999, 'later', CURRENT_TIMESTAMP, 1, x'00', 1)").await;
    let cases = [
        (variant("text", b"no backup"), "is no backup"),
        (variant("cut", &whole[..whole.len() / 2]), "is no backup that can be restored"),
        (variant("damaged", &damaged), "is no backup that can be restored"),
        (config(home.path()).database(), "is no backup that can be restored"),
        (changed, "or holds it changed"),
        (lacking, "The backup lacks sha256:"),
        (newer, "was written by a newer Moxxy (its schema has version 9999)"),
    ];
    for (file, said) in cases {
        let told = fails(empty.path(), &key(empty.path()), &["restore", file.to_str().unwrap()]);
        assert!(told.contains(said), "{}: {told}", file.display());
        assert_eq!(files(empty.path()), [""; 0], "{}", file.display());
    }
    let gone = fails(empty.path(), &key(empty.path()), &["restore", "/nonexistent/backup"]);
    assert!(gone.contains("Cannot use /nonexistent/backup"), "{gone}");
    // A backup detects a component that was changed.
    let upload = fs::read_dir(home.path().join("components/sha256")).unwrap().next().unwrap().unwrap().path();
    fs::write(upload, b"something else").unwrap();
    let broken = fails(home.path(), &key(home.path()), &["backup", folder.path().join("new").to_str().unwrap()]);
    assert!(broken.contains("was changed on disk, so the backup would not be whole"), "{broken}");
    let activated = fails(home.path(), &key(home.path()), &["restore", "--activate", "--cancel"]);
    assert!(activated.contains("Nothing waits for an activation here"), "{activated}");
    let value: Value = serde_json::from_str(&works(home.path(), &["audit", "verify", "--json"])).unwrap();
    assert_eq!(value["findings"], json!([]));
}
