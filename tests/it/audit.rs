//! `/v1/audit`: its entries, and the detection of changes to them.

use std::{path::Path, process::Command, sync::atomic::Ordering};

use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use crate::harness::{Answer, Server, config};

const AUDIT: &str = "/v1/audit";

fn column<'v>(entries: &'v Value, name: &str) -> Vec<&'v str> {
    entries.as_array().unwrap().iter().map(|entry| entry[name].as_str().unwrap_or_default()).collect()
}

#[tokio::test]
async fn who_did_what_is_told_newest_first() {
    let server = Server::start().await;
    let token = server.token(None, &["agents:write", "agents:read", "vault:write", "events:read"]).await;
    server.offline("ada", "echo").await;
    server.upload("ada", "misbehave").await.expect(201);
    let id = server.post("/v1/vault/secrets", json!({ "name": "key", "value": "a-value-of-some-length" })).await;
    let id = id.expect(201)["id"].clone();
    server.post("/v1/vault/grants", json!({ "agent_id": "ada", "secret_id": id })).await.expect(201);
    server.run("ada", "a task of mine").await;
    let entries = server.get(AUDIT).await.expect(200);
    let types = column(&entries, "event_type");
    let expected = [
        "run.queued",
        "vault.granted",
        "vault.secret_created",
        "skill.installed",
        "agent.created",
        "provider.installed",
        "token.created",
    ];
    assert_eq!(types, expected);
    assert!(!entries.to_string().contains("a task of mine") && !entries.to_string().contains("a-value"));
    assert_eq!(entries[0]["actor"], "local");
    assert_eq!(entries[0]["position"], 7);
    // An action with a token, and one that its scopes forbid.
    let delete = server.request(reqwest::Method::DELETE, "/v1/agents/ada/skills/misbehave").bearer_auth(&token);
    crate::harness::send(delete).await.expect(204);
    let denied = server.request(reqwest::Method::GET, "/v1/auth/tokens").bearer_auth(&token);
    crate::harness::send(denied).await.error(403, "insufficient_scope");
    let entries = server.get(&format!("{AUDIT}?limit=2")).await;
    assert_eq!(column(&entries.body, "event_type"), ["token.denied", "skill.removed"]);
    assert!(column(&entries.body, "actor").iter().all(|actor| actor.starts_with("tok_")));
    let actor = entries.body[0]["actor"].as_str().unwrap();
    let next = entries.headers["link"].to_str().unwrap();
    let next = next.strip_prefix('<').unwrap().split_once('>').unwrap().0;
    assert_eq!(column(&server.get(next).await.expect(200), "event_type"), expected[..2]);
    let count =
        async |query: String| server.get(&format!("{AUDIT}?{query}")).await.expect(200).as_array().unwrap().len();
    assert_eq!(count(format!("actor={actor}")).await, 2);
    assert_eq!(count("event_type=vault.*".into()).await, 2);
    assert_eq!(count("agent_id=ada&event_type=skill.removed".into()).await, 1);
    let since = entries.body[1]["timestamp"].as_str().unwrap();
    assert_eq!(count(format!("since={since}")).await + count(format!("until={since}")).await, 9);
    server.get(&format!("{AUDIT}?event_type=nothing")).await.error(400, "invalid_input");
    server.get(&format!("{AUDIT}?since=yesterday")).await.error(400, "invalid_input");
    let head = server.get("/v1/audit/head").await.expect(200);
    assert_eq!((&head["position"], head["hash"].as_str().unwrap().len()), (&json!(9), 64));
}

/// Returns a data directory with some entries, and their head.
async fn written() -> (TempDir, String) {
    let server = Server::with(|config| config.data.master_key = Default::default()).await;
    for number in 0..8 {
        let body = json!({ "name": format!("secret-{number}"), "value": "a-value-of-some-length" });
        server.post("/v1/vault/secrets", body).await.expect(201);
    }
    let head = head(&server).await;
    (server.stop().await, head)
}

pub(crate) async fn head(server: &Server) -> String {
    let head = server.get("/v1/audit/head").await.expect(200);
    format!("{}:{}", head["position"], head["hash"].as_str().unwrap())
}

/// Returns the output of `moxxy audit verify`, and whether it found no problem.
pub(crate) fn verify(home: &Path, arguments: &[&str]) -> (String, bool) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moxxy"));
    command.env_clear().arg("--home").arg(home).args(["audit", "verify"]).args(arguments);
    let output = command.output().unwrap();
    (String::from_utf8([output.stdout, output.stderr].concat()).unwrap(), output.status.success())
}

pub(crate) async fn change(home: &Path, sql: &str) {
    let database = config(home).database();
    let mut connection = SqliteConnectOptions::new().filename(database).connect().await.unwrap();
    connection.execute(sqlx::AssertSqlSafe(sql.to_owned())).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn whatever_was_done_to_the_log_is_found() {
    let (home, head) = written().await;
    let (told, well) = verify(home.path(), &["--head", &head]);
    assert!(well && told.contains("8 entries, from 1 on; the head is 8:"), "{told}");
    let cases = [
        ("UPDATE audit SET actor = 'eve' WHERE position = 3", "entry 3 was changed"),
        ("UPDATE audit SET payload = '{}' WHERE position = 3", "entry 3 was changed"),
        ("UPDATE audit SET payload = 'no JSON' WHERE position = 3", "entry 3 was changed"),
        ("UPDATE audit SET hash = zeroblob(32) WHERE position = 3", "entry 3 was changed"),
        ("UPDATE audit SET hash = x'00' WHERE position = 8", "entry 8 was changed"),
        ("DELETE FROM audit WHERE position = 3", "entry 3 is missing"),
        ("DELETE FROM audit WHERE position < 4", "each of the entries 1 to 3 is missing"),
        ("DELETE FROM audit WHERE position > 6", "each of the entries 7 to 8 is missing at the end"),
        (
            "UPDATE audit SET position = -1 WHERE position = 2; UPDATE audit SET position = 2 WHERE position = 5;
             UPDATE audit SET position = 5 WHERE position = -1",
            "entry 2 was changed, or is not where it was written",
        ),
        (
            "INSERT INTO audit SELECT 9, timestamp, actor, agent_id, run_id, event_type, payload, hash FROM audit
             WHERE position = 8",
            "entry 9 was added at the end",
        ),
        (
            "DELETE FROM audit WHERE position < 4; UPDATE audit_state SET pruned = 3, pruned_hash =
             (SELECT hash FROM audit WHERE position = 4)",
            "the record of the log's ends was changed",
        ),
        (
            "DELETE FROM audit WHERE position > 6; UPDATE audit_state SET last = 6, last_hash =
             (SELECT hash FROM audit WHERE position = 6)",
            "the record of the log's ends was changed",
        ),
    ];
    for (sql, finding) in cases {
        let copy = copied(home.path());
        change(copy.path(), sql).await;
        let (told, well) = verify(copy.path(), &[]);
        assert!(!well && told.contains(finding), "{sql}: {told}");
    }
}

pub(crate) fn copied(home: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for file in ["moxxy.db", "moxxy.db-wal", "master.key"] {
        let from = home.join(file);
        if from.exists() {
            std::fs::copy(from, copy.path().join(file)).unwrap();
        }
    }
    copy
}

#[tokio::test]
async fn an_older_copy_is_found_by_the_head_alone() {
    let (home, old) = written().await;
    let copy = copied(home.path());
    let server = Server::at(home, |config| config.data.master_key = Default::default()).await;
    server.post("/v1/vault/secrets", json!({ "name": "more", "value": "a-value" })).await.expect(201);
    let new = head(&server).await;
    // Verify while the server runs, too.
    let (told, well) = verify(server.home.path(), &["--head", &old]);
    assert!(well && told.contains("9 entries"), "{told}");
    assert!(verify(copy.path(), &[]).1 && verify(copy.path(), &["--head", &old]).1);
    let (told, well) = verify(copy.path(), &["--head", &new]);
    assert!(!well && told.contains("entry 9 is missing: the head that was published is newer"), "{told}");
    let other = format!("5:{}", "0".repeat(64));
    assert!(verify(server.home.path(), &["--head", &other]).0.contains("entry 5 is another one"));
    assert!(verify(server.home.path(), &["--head", "5"]).0.contains("PLACE:HASH"));
}

#[tokio::test]
async fn what_was_cut_off_stays_found_after_more_was_written() {
    let (home, _) = written().await;
    change(home.path(), "DELETE FROM audit WHERE position > 6").await;
    let server = Server::at(home, |config| config.data.master_key = Default::default()).await;
    server.post("/v1/vault/secrets", json!({ "name": "more", "value": "a-value" })).await.expect(201);
    let (told, well) = verify(server.home.path(), &[]);
    assert!(!well && told.contains("was changed before entry 9 was written"), "{told}");
    assert!(told.contains("each of the entries 7 to 8 is missing"), "{told}");
}

#[tokio::test]
async fn neither_a_new_beginning_nor_a_removal_covers_anything_up() {
    let (home, _) = written().await;
    let wiped = copied(home.path());
    change(wiped.path(), "DELETE FROM audit; DELETE FROM audit_keys; DELETE FROM audit_state").await;
    let server = Server::at(wiped, |config| config.data.master_key = Default::default()).await;
    server.post("/v1/vault/secrets", json!({ "name": "more", "value": "a-value" })).await.expect(201);
    let (told, well) = verify(server.home.path(), &[]);
    assert!(!well && told.contains("was changed before entry 1 was written"), "{told}");
    // Entries with old timestamps, so that they are removed together with the change to them.
    change(home.path(), "UPDATE audit SET timestamp = '2020-01-01T00:00:00.000Z', actor = 'eve' WHERE position <= 3")
        .await;
    let server = Server::at(home, |config| {
        config.data.master_key = Default::default();
        config.audit.keep_days = 5;
    })
    .await;
    let (told, well) = verify(server.home.path(), &[]);
    assert!(!well && told.contains("entry 1 was changed"), "{told}");
}

#[tokio::test]
async fn a_rotation_of_the_master_key_keeps_the_chain() {
    let (home, head) = written().await;
    for _ in 0..2 {
        let mut rotate = Command::new(env!("CARGO_BIN_EXE_moxxy"));
        let rotated = rotate.env_clear().arg("--home").arg(home.path()).args(["vault", "rotate-key"]).status().unwrap();
        assert!(rotated.success());
    }
    let server = Server::at(home, |config| config.data.master_key = Default::default()).await;
    server.post("/v1/vault/secrets", json!({ "name": "more", "value": "a-value" })).await.expect(201);
    let (told, well) = verify(server.home.path(), &["--head", &head]);
    assert!(well && told.contains("9 entries, from 1 on"), "{told}");
    let home = server.stop().await;
    change(home.path(), "UPDATE audit SET actor = 'eve' WHERE position IN (2, 9)").await;
    let (told, _) = verify(home.path(), &[]);
    assert!(told.contains("entry 2 was changed") && told.contains("entry 9 was changed"), "{told}");
}

#[tokio::test]
async fn entries_go_after_their_time_and_the_rest_is_verified() {
    let (server, later) = Server::timed(|config| config.data.master_key = Default::default()).await;
    let secret = async |name: &str| -> Answer {
        server.post("/v1/vault/secrets", json!({ "name": name, "value": "a-value" })).await
    };
    secret("one").await.expect(201);
    secret("two").await.expect(201);
    let old = head(&server).await;
    later.store(10 * 86_400, Ordering::SeqCst);
    secret("three").await.expect(201);
    let start = async |home: TempDir, hours: i64| {
        let mut kept = config(home.path());
        kept.data.master_key = Default::default();
        kept.audit.keep_days = 1;
        let clock = move || time::OffsetDateTime::now_utc() + time::Duration::hours(hours);
        Server::configured(home, kept, moxxy_types::clock::Clock::new(clock)).await
    };
    // After a jump of the clock, the log loses a day of entries at most for each hour.
    let server = start(server.stop().await, 240).await;
    let server = start(server.stop().await, 242).await;
    assert_eq!(server.get(AUDIT).await.expect(200).as_array().unwrap().len(), 1);
    let (told, well) = verify(server.home.path(), &[]);
    assert!(well && told.contains("1 entries, from 3 on"), "{told}");
    // The head of the last removed entry is still proof.
    assert!(verify(server.home.path(), &["--head", &old]).1);
    let (told, _) = verify(server.home.path(), &["--head", &format!("1:{}", "0".repeat(64))]);
    assert!(told.contains("is not there any more, so it proves nothing"), "{told}");
}
