//! Start of a server on a database of an older version, or on a file that is not a Moxxy database.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command, time::Instant};

use moxxy_types::clock::Clock;
use serde_json::{Value, json};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, SqliteConnection, migrate::Migrator,
    sqlite::SqliteConnectOptions,
};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

use crate::{
    audit::verify,
    cli::{moxxy, text},
    harness::{Server, config},
};

static MIGRATIONS: Migrator = sqlx::migrate!("../store/src/migrations");

async fn database(home: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(config(home).database()).create_if_missing(true);
    options.connect().await.unwrap()
}

/// Returns a data directory with version 6 of the schema.
async fn older() -> TempDir {
    let home = TempDir::new().unwrap();
    let mut db = database(home.path()).await;
    MIGRATIONS.run_to(6, &mut db).await.unwrap();
    db.close().await.unwrap();
    home
}

/// Returns the error output of a start that fails.
fn refused(home: &Path) -> String {
    let output = moxxy(home).args(["--port", "0", "serve"]).output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    text(&output.stderr).to_owned()
}

fn copies(home: &Path) -> Vec<String> {
    let names = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(".before-") || name.ends_with(".copy")).collect()
}

#[tokio::test]
async fn a_database_is_copied_before_it_is_migrated() {
    let home = older().await;
    fs::write(home.path().join("moxxy.db.before-5"), "an earlier copy").unwrap();
    let newest = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap();
    let server = Server::at(home, |_| {}).await;
    server.offline("ada", "echo").await;
    let home = server.stop().await;
    assert_eq!(copies(home.path()), [format!("moxxy.db.before-{newest}")]);
    let copy = home.path().join(&copies(home.path())[0]);
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let mut copied = SqliteConnectOptions::new().filename(&copy).connect().await.unwrap();
    let version: i64 =
        sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(&mut copied).await.unwrap();
    assert_eq!(version, 6);
    // The next start works as well: without a migration it makes no copy.
    let written = fs::metadata(&copy).unwrap().modified().unwrap();
    let home = Server::at(home, |_| {}).await.stop().await;
    assert_eq!(fs::metadata(home.path().join(&copies(home.path())[0])).unwrap().modified().unwrap(), written);
}

#[tokio::test]
async fn a_migration_that_fails_changes_nothing() {
    let home = older().await;
    let mut db = database(home.path()).await;
    db.execute("CREATE TABLE restored (in_the_way INTEGER)").await.unwrap();
    refused(home.path());
    let tables = "SELECT COUNT(*) FROM sqlite_schema WHERE name = 'event_log'";
    let tables: i64 = sqlx::query_scalar(tables).fetch_one(&mut db).await.unwrap();
    assert_eq!((tables, copies(home.path()).len()), (0, 1));
    db.execute("DROP TABLE restored").await.unwrap();
    db.close().await.unwrap();
    Server::at(home, |_| {}).await;
}

#[tokio::test]
async fn what_is_no_database_of_ours_is_left_as_it_is() {
    let other = TempDir::new().unwrap();
    let mut db = database(other.path()).await;
    db.execute("CREATE TABLE photos (name TEXT)").await.unwrap();
    db.close().await.unwrap();
    let foreign = fs::read(config(other.path()).database()).unwrap();
    let mut migrated = fs::read(config(older().await.path()).database()).unwrap();
    let changed = older().await;
    let mut db = database(changed.path()).await;
    db.execute("UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 3").await.unwrap();
    db.close().await.unwrap();
    let changed = fs::read(config(changed.path()).database()).unwrap();
    // Overwrite the page with the schema.
    migrated[100..3000].fill(0xa5);
    let cases = [
        ("is not a SQLite database, or is damaged", b"Dear diary, this is no database.".repeat(64)),
        ("is not a SQLite database, or is damaged", migrated),
        ("is a SQLite database, but not Moxxy's", foreign),
        ("is a SQLite database, but not Moxxy's", changed),
    ];
    for (said, bytes) in cases {
        let home = TempDir::new().unwrap();
        let file = config(home.path()).database();
        fs::write(&file, &bytes).unwrap();
        let told = refused(home.path());
        assert!(told.contains(said) && told.contains("data directory"), "{told}");
        assert!(fs::read(&file).unwrap() == bytes, "{said}");
        assert_eq!(copies(home.path()), [""; 0]);
    }
}

/// Time when the server that left `data/home-0.1.0.tar.gz` stopped, in seconds since 1970.
const KILLED_AT: i64 = 1_796_033_520;

/// Starts a server on the data directory of a killed server of an earlier version, at the time of the kill.
async fn killed() -> Server {
    let home = TempDir::new().unwrap();
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/it/data/home-0.1.0.tar.gz");
    let unpacked = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(home.path()).status().unwrap();
    assert!(unpacked.success());
    let mut config = config(home.path());
    config.data.master_key = serde_json::from_value(json!("")).unwrap();
    let (start, begun) = (OffsetDateTime::from_unix_timestamp(KILLED_AT).unwrap(), Instant::now());
    let clock = Clock::new(move || start + Duration::try_from(begun.elapsed()).unwrap());
    Server::configured(home, config, clock).await
}

/// Returns an agent's runs, once the newest has this status.
async fn runs(server: &Server, agent: &str, newest: &str) -> Value {
    let path = format!("/v1/agents/{agent}/runs");
    let mut events = server.events(&format!("agent_id={agent}&event_type=run.*")).await;
    loop {
        let runs = server.get(&path).await.expect(200);
        if runs[0]["status"] == newest {
            return runs;
        }
        let seen = tokio::time::timeout(std::time::Duration::from_secs(10), events.next()).await;
        assert!(seen.is_ok(), "{runs}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_of_an_earlier_version_opens_and_works() {
    let server = killed().await;
    // An interrupted tool call is not repeated.
    let eve = runs(&server, "eve", "completed").await;
    let detail = server.get(&format!("/v1/agents/eve/runs/{}", eve[0]["run_id"].as_str().unwrap())).await.expect(200);
    let steps = detail["steps"].as_array().unwrap();
    assert_eq!(steps.iter().filter(|step| step["status"] == "interrupted").count(), 1, "{detail}");

    let questions = server.get("/v1/agents/bob/questions").await.expect(200);
    let id = questions[0]["question_id"].as_str().unwrap();
    server.post(&format!("/v1/agents/bob/ask-responses/{id}"), json!({ "answer": "Blue" })).await.expect(200);
    // The queued run is next; the script has no step left for it.
    let bob = runs(&server, "bob", "failed").await;
    assert_eq!(bob[1]["status"], "completed", "{bob}");

    let standing = server.get("/v1/agents/ada/tool-policy/decisions").await.expect(200);
    assert_eq!(standing[0]["scope"], "always");
    // The script continues at the session's position.
    let count = json!({ "tool_calls": [{ "name": "text__word_count", "arguments": { "text": "a b c" } }] });
    let steps = json!([count, { "text": "Counted." }, count, { "text": "Counted again." }]);
    let config = json!({ "config": { "steps": steps } });
    server.patch("/v1/providers/ada", config).await.expect(200);
    assert_eq!(server.run("ada", "Count.").await["output"], "Counted again.");
    let note = server.invoke("ada", "notes", "read", json!({ "title": "list" })).await.expect(200);
    assert_eq!(note, "Buy milk.");
    let back = server.post("/v1/agents/ada/skills/plain/rollback", json!({})).await.expect(200);
    assert_eq!(back["version"], "1.0.0");
    for (agent, mode) in [("ada", "inject"), ("bob", "sign"), ("eve", "reveal")] {
        let skill = server.get(&format!("/v1/agents/{agent}/skills/keeper")).await.expect(200);
        let granted = skill["granted"]["secrets"].as_array().unwrap();
        assert!(granted.iter().any(|grant| grant["mode"] == mode), "{agent}: {granted:?}");
    }
    let value = server.invoke("eve", "keeper", "reveal", json!({})).await.expect(200);
    assert!(!value.to_string().contains("fixture-secret"), "{value}");

    let home = server.stop().await;
    let (said, intact) = verify(home.path(), &[]);
    assert!(intact, "{said}");
}

#[tokio::test]
async fn every_foreign_key_has_an_index() {
    let home = Server::start().await.stop().await;
    let mut db = database(home.path()).await;
    let sql = "SELECT t.name, f.\"from\" FROM sqlite_schema t JOIN pragma_foreign_key_list(t.name) f
               WHERE t.type = 'table' AND f.seq = 0";
    let keys: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(&mut db).await.unwrap();
    assert!(keys.len() > 20, "{keys:?}");
    let mut scanned = Vec::new();
    for (table, column) in keys {
        let sql = format!("EXPLAIN QUERY PLAN SELECT rowid FROM {table} WHERE {column} = ?");
        let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&mut db).await.unwrap();
        if !plan.iter().all(|(.., step)| step.starts_with("SEARCH")) {
            scanned.push(format!("{table}.{column}: {plan:?}"));
        }
    }
    assert_eq!(scanned, [""; 0]);
}

#[tokio::test]
async fn a_start_without_the_database_leaves_installed_components_alone() {
    let server = Server::start().await;
    server.offline("ada", "planner").await;
    let home = server.stop().await;
    let uploads = || fs::read_dir(home.path().join("components/sha256")).unwrap().count();
    let (before, path) = (uploads(), config(home.path()).database());
    assert!(before > 0);
    let saved = home.path().join("saved");
    fs::rename(&path, &saved).unwrap();
    // Missing, and empty.
    for _ in 0..2 {
        let error = refused(home.path());
        assert!(error.contains("moxxy restore") && error.contains("moxxy.db"), "{error}");
        assert_eq!(uploads(), before);
        fs::write(&path, "").unwrap();
    }
    fs::rename(&saved, &path).unwrap();
    let server = Server::at(home, |_| {}).await;
    assert_eq!(server.get("/v1/agents/ada").await.expect(200)["name"], "ada");
}
