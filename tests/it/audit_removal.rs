//! Detection of an audit log that was emptied, removed or replaced by an older copy. A used database shows that
//! there should be more entries. An unused database, or one older than the log, raises no alarm.

use std::{fs, path::Path, process::Stdio};

use serde_json::json;
use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, SqliteConnection, migrate::Migrator,
    sqlite::SqliteConnectOptions,
};
use tempfile::TempDir;

use crate::{
    audit::{change, copied, head, verify},
    cli::moxxy,
    harness::{Server, config},
    outcomes::outcome,
};

static MIGRATIONS: Migrator = sqlx::migrate!("../store/src/migrations");

/// SQL that makes the database look as if no server had been started.
const NEW: &str = "DELETE FROM audit; DELETE FROM audit_keys; DELETE FROM audit_state; DELETE FROM vault;";
const EMPTIED: &str = "the log was emptied or taken away";

async fn start(home: TempDir) -> Server {
    Server::at(home, |config| config.data.master_key = Default::default()).await
}

async fn keep_secret(server: &Server, name: &str) {
    server.post("/v1/vault/secrets", json!({ "name": name, "value": "a-value-of-some-length" })).await.expect(201);
}

/// Returns a data directory with rows of every kind.
async fn used() -> TempDir {
    let server = start(TempDir::new().unwrap()).await;
    server.offline("ada", "echo").await;
    server.accepted("ada", "keeper").await;
    keep_secret(&server, "key").await;
    server.post("/v1/vault/grants", json!({ "agent_id": "ada", "secret": "key" })).await.expect(201);
    server.run("ada", "a task").await;
    server.token(None, &["*"]).await;
    server.stop().await
}

/// Starts a server on a copy and returns its log.
fn starts(home: &Path) -> String {
    let mut serve = moxxy(home);
    serve.args(["--port", "0", "serve"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = serve.spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(server.stdout.take().unwrap()), &mut line).unwrap();
    server.kill().unwrap();
    String::from_utf8(server.wait_with_output().unwrap().stderr).unwrap()
}

/// Checks that the verification reports a change, that the next start does, and that the verification still does
/// after further writes.
async fn is_found(attack: &str, home: TempDir, finding: &str) {
    let (told, well) = verify(home.path(), &[]);
    assert!(!well && told.contains(finding), "{attack}: {told}");
    outcome(attack, told.lines().next().unwrap());
    let log = starts(home.path());
    assert!(log.contains("ERROR") && log.contains("the audit log was tampered with"), "{attack}: {log}");
    let server = start(home).await;
    keep_secret(&server, "more").await;
    let (told, well) = verify(server.home.path(), &[]);
    assert!(!well && told.contains("was changed before entry"), "{attack}: {told}");
}

fn is_well(home: &Path) {
    let (told, well) = verify(home, &[]);
    assert!(well, "{told}");
    let log = starts(home);
    assert!(!log.contains("tampered"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_database_without_its_log_is_no_new_one() {
    let home = used().await;
    is_well(home.path());
    let cases = [
        ("the audit log emptied, with its key", "", EMPTIED),
        ("the same, events and their places removed", "DELETE FROM events; DELETE FROM sqlite_sequence", EMPTIED),
        (
            "the same, all but a token removed",
            "DELETE FROM grants; DELETE FROM agents; DELETE FROM secrets;
            DELETE FROM events; DELETE FROM sqlite_sequence; DELETE FROM installations",
            EMPTIED,
        ),
        (
            "the same, all but a secret removed",
            "DELETE FROM tokens; DELETE FROM agents; DELETE FROM installations;
            DELETE FROM events; DELETE FROM sqlite_sequence",
            EMPTIED,
        ),
        (
            "the same, all but an agent removed",
            "DELETE FROM tokens; DELETE FROM secrets; DELETE FROM events;
            DELETE FROM runs; DELETE FROM sqlite_sequence",
            EMPTIED,
        ),
        (
            "the same, all but events removed",
            "DELETE FROM tokens; DELETE FROM secrets; DELETE FROM agents;
            DELETE FROM installations; DELETE FROM sqlite_sequence",
            EMPTIED,
        ),
        (
            "the same, all but the places of events removed",
            "DELETE FROM tokens; DELETE FROM secrets;
            DELETE FROM agents; DELETE FROM installations; DELETE FROM events",
            EMPTIED,
        ),
        (
            "the same, the id of another master key in its place",
            "DELETE FROM secrets; INSERT INTO vault VALUES (1, 'another')",
            EMPTIED,
        ),
    ];
    for (attack, sql, finding) in cases {
        let copy = copied(home.path());
        change(copy.path(), &format!("{NEW} {sql}")).await;
        is_found(attack, copy, finding).await;
    }
}

#[tokio::test]
async fn every_table_shows_a_use_unless_it_has_rows_without_one() {
    const OTHERS: [&str; 15] = [
        "_sqlx_migrations",
        "audit_keys",
        "audit_state",
        "components",
        "event_log",
        "idempotency",
        "installation_agents",
        "chat_turns",
        "jobs",
        "learned_models",
        "model_lists",
        "restored",
        "retention_clock",
        "sqlite_sequence",
        "vault",
    ];
    let home = start(TempDir::new().unwrap()).await.stop().await;
    let mut db = SqliteConnectOptions::new().filename(config(home.path()).database()).connect().await.unwrap();
    let tables = sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table'").fetch_all(&mut db).await;
    let mut tables: Vec<String> = tables.unwrap();
    tables.retain(|table| !OTHERS.contains(&table.as_str()));
    let code = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../store/src/audit/mod.rs")).unwrap();
    let used = code.split_once("const AUDITED_TABLES").unwrap().1.split_once("];").unwrap().0;
    let missing: Vec<_> = tables.iter().filter(|table| !used.contains(&format!("\"{table}\""))).collect();
    assert_eq!(missing, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_are_taken_away_are_missed() {
    let home = used().await;
    let cases = [
        ("the record of the log's ends removed", "DELETE FROM audit_state", "the record of the log's ends was changed"),
        (
            "the newest entries removed, with the ends",
            "DELETE FROM audit WHERE position > 2; DELETE FROM audit_state",
            "the record of the log's ends was changed",
        ),
        ("all entries removed, the ends kept", "DELETE FROM audit", "is missing at the end"),
        ("all entries and the ends removed", "DELETE FROM audit; DELETE FROM audit_state", EMPTIED),
        ("the keys of the log removed", "DELETE FROM audit_keys", EMPTIED),
        ("the id of the master key removed", "DELETE FROM vault", "the record of the master key was taken away"),
    ];
    for (attack, sql, finding) in cases {
        let copy = copied(home.path());
        change(copy.path(), sql).await;
        is_found(attack, copy, finding).await;
    }
    // Without its tables the log cannot be written.
    let copy = copied(home.path());
    change(copy.path(), "DROP TABLE audit; DROP TABLE audit_keys; DROP TABLE audit_state").await;
    let (told, well) = verify(copy.path(), &[]);
    assert!(!well && told.contains("the tables of the log are missing"), "{told}");
    let log = starts(copy.path());
    assert!(log.contains("The tables of the audit log are missing"), "{log}");
    outcome("the tables of the audit log dropped", log.trim());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_state_of_the_log_does_not_fit_a_newer_database() {
    let fresh = start(TempDir::new().unwrap()).await.stop().await;
    let new = copied(fresh.path());
    let server = start(fresh).await;
    keep_secret(&server, "one").await;
    let home = server.stop().await;
    let old = copied(home.path());
    let server = start(home).await;
    keep_secret(&server, "two").await;
    server.token(None, &["*"]).await;
    let newest = head(&server).await;
    let home = server.stop().await;
    is_well(home.path());
    let log = "DELETE FROM audit; INSERT INTO audit SELECT * FROM old.audit; DELETE FROM audit_state;
               INSERT INTO audit_state SELECT * FROM old.audit_state";
    let cases = [
        ("the audit log of the new database put back", &new, EMPTIED),
        ("an older audit log put back", &old, "entries are missing at the end: something was changed at"),
    ];
    for (attack, older, finding) in cases {
        let copy = copied(home.path());
        change(copy.path(), &format!("ATTACH '{}' AS old; {log}", config(older.path()).database().display())).await;
        is_found(attack, copy, finding).await;
    }
    // A complete older database is consistent: only a head that was kept elsewhere proves the change.
    is_well(old.path());
    let (told, well) = verify(old.path(), &["--head", &newest]);
    assert!(!well && told.contains("the head that was published is newer"), "{told}");
    outcome("a whole older database put back", told.lines().next().unwrap());
}

#[tokio::test]
async fn a_database_that_was_not_used_is_not_suspected() {
    let home = start(TempDir::new().unwrap()).await.stop().await;
    is_well(home.path());
    // A first start that was interrupted before its log began.
    change(home.path(), "DELETE FROM audit_keys; DELETE FROM audit_state").await;
    assert!(verify(home.path(), &[]).0.contains("There is no audit log here"));
    let home = start(home).await.stop().await;
    is_well(home.path());
}

async fn older(home: &Path, version: i64) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(config(home).database()).create_if_missing(true);
    let mut db = options.connect().await.unwrap();
    MIGRATIONS.run_to(version, &mut db).await.unwrap();
    db
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_from_before_the_log_is_not_suspected_until_it_has_one() {
    for version in [3, 5] {
        let home = TempDir::new().unwrap();
        let mut db = older(home.path(), version).await;
        let rows = "INSERT INTO tokens (id, hash, scopes, created_at, created_by)
            VALUES ('tok_1', x'00', '[\"*\"]', '2026-01-01T00:00:00.000Z', 'bootstrap');
            INSERT INTO events (event_id, timestamp, event_type, payload)
            VALUES ('e', '2026-01-01T00:00:00.000Z', 'token.created', '{}')";
        db.execute(rows).await.unwrap();
        if version >= 4 {
            // A vault with a secret: its key is known.
            let id = master_key(home.path());
            let secret =
                "INSERT INTO secrets VALUES ('sec_1', 'key', NULL, 1, x'00', 'local', '2026-01-01', '2026-01-01')";
            let vault = format!("INSERT INTO vault VALUES (1, '{id}'); {secret}");
            db.execute(sqlx::AssertSqlSafe(vault)).await.unwrap();
        }
        db.close().await.unwrap();
        assert!(verify(home.path(), &[]).0.contains("There is no audit log here"));
        let home = start(home).await.stop().await;
        is_well(home.path());
        let server = start(home).await;
        keep_secret(&server, "new").await;
        let home = server.stop().await;
        is_well(home.path());
        change(home.path(), NEW).await;
        is_found(&format!("the log of a database of version {version} emptied later"), home, EMPTIED).await;
    }
}

/// Creates a master key and returns its ID.
fn master_key(home: &Path) -> String {
    let key = moxxy_secrets::MasterKey::random().unwrap();
    fs::write(home.join("master.key"), key.bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        .unwrap();
    key.id()
}
