//! Jobs: each takes effect once, even if drivers are killed. A job that fails is listed and delays no other job.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use moxxy_server::background::{Background, Effect, Next, Recurrence};
use moxxy_store::{Store, events::Events};
use moxxy_system::tasks::Tasks;
use moxxy_types::{
    clock::Clock,
    error::{Error, Result},
    jobs::{Job, NewJob},
};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use time::OffsetDateTime;

use crate::harness::{Server, config, send};

const COUNTED: &str = "test.count";
const POISONED: &str = "test.poison";
/// More than the duration of a lease, in seconds.
const LEASE_SECONDS: i64 = 61;

/// Clock of a test, moved forward by hand.
#[derive(Clone, Default)]
struct Shift(Arc<AtomicI64>);

impl Shift {
    fn clock(&self) -> Clock {
        let seconds = Arc::clone(&self.0);
        Clock::new(move || OffsetDateTime::now_utc() + time::Duration::seconds(seconds.load(Ordering::Relaxed)))
    }

    fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

/// A driver with a connection of its own.
struct Node {
    store: Store,
    tasks: Tasks,
}

impl Node {
    async fn start(path: &Path, shift: &Shift) -> Self {
        let tasks = Tasks::default();
        let store = Store::open(path, Events::default(), shift.clock(), &tasks).await.unwrap();
        let background = Background::new(&store, tasks.clone(), None);
        background.register(COUNTED, Recurrence::Once, count);
        background.register(POISONED, Recurrence::Once, |_| async { Err(Error::internal("poison")) });
        background.start_jobs().await.unwrap();
        Self { store, tasks }
    }

    /// Ends the driver in the midst of its work, without its leave.
    fn kill(self) {
        self.tasks.abort_all();
    }

    async fn insert(&self, kind: &'static str, keys: impl IntoIterator<Item = String>) {
        let keys: Vec<String> = keys.into_iter().collect();
        let insert = self.store.write(move |tx| {
            Box::pin(async move {
                for key in keys {
                    let due_at = tx.now();
                    let job = NewJob {
                        kind,
                        key,
                        agent: None,
                        origin: Some("a test".to_owned()),
                        payload: json!({}),
                        due_at,
                        created_by: "test".to_owned(),
                    };
                    assert!(moxxy_store::jobs::insert(tx, &job).await?);
                    assert!(!moxxy_store::jobs::insert(tx, &job).await?, "a key has one job");
                }
                Ok(())
            })
        });
        insert.await.unwrap();
    }
}

async fn count(job: Job) -> Result<Effect> {
    Ok(Effect::new(move |tx| {
        Box::pin(async move {
            sqlx::query("INSERT INTO counted (key) VALUES (?)").bind(job.key).execute(&mut **tx).await?;
            Ok(Next::Done)
        })
    }))
}

async fn database(home: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(config(home).database()).busy_timeout(Duration::from_secs(5));
    SqliteConnection::connect_with(&options).await.unwrap()
}

async fn number(db: &mut SqliteConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(db).await.unwrap()
}

/// Waits until no job of the kind is left that is not dead.
async fn until_done(db: &mut SqliteConnection, kind: &str) {
    let sql = "SELECT COUNT(*) FROM jobs WHERE kind = ? AND status <> 'dead'";
    let waiting = async {
        while sqlx::query_scalar::<_, i64>(sql).bind(kind).fetch_one(&mut *db).await.unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("the jobs take too long");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_job_is_done_once_whoever_is_killed() {
    const JOBS: i64 = 10_000;
    let (home, shift) = (TempDir::new().unwrap(), Shift::default());
    let path = config(home.path()).database();
    let mut nodes = vec![Node::start(&path, &shift).await, Node::start(&path, &shift).await];
    let mut db = database(home.path()).await;
    sqlx::query("CREATE TABLE counted (key TEXT NOT NULL) STRICT").execute(&mut db).await.unwrap();
    nodes[0].insert(COUNTED, (0..JOBS).map(|number| number.to_string())).await;
    for round in 1.. {
        let done = number(&mut db, "SELECT COUNT(*) FROM counted").await;
        if done > JOBS * 4 / 5 {
            break;
        }
        // Each time when a part more is done, one of the two is killed. Its leases end, and another takes over.
        if done > JOBS * round / 10 {
            nodes.remove(0).kill();
            shift.advance(LEASE_SECONDS);
            nodes.push(Node::start(&path, &shift).await);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    shift.advance(LEASE_SECONDS);
    nodes[0].insert(COUNTED, ["last".to_owned()]).await;
    until_done(&mut db, COUNTED).await;
    assert_eq!(number(&mut db, "SELECT COUNT(*) FROM counted").await, JOBS + 1);
    assert_eq!(number(&mut db, "SELECT COUNT(DISTINCT key) FROM counted").await, JOBS + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_job_ends_dead_and_delays_nothing() {
    let (home, shift) = (TempDir::new().unwrap(), Shift::default());
    let node = Node::start(&config(home.path()).database(), &shift).await;
    let mut db = database(home.path()).await;
    sqlx::query("CREATE TABLE counted (key TEXT NOT NULL) STRICT").execute(&mut db).await.unwrap();
    node.insert(POISONED, (0..20).map(|number| format!("poison {number}"))).await;
    for attempt in 0..10 {
        node.insert(COUNTED, [attempt.to_string()]).await;
        until_done(&mut db, COUNTED).await;
        shift.advance(3600);
    }
    until_done(&mut db, POISONED).await;
    let sql = "SELECT COUNT(*) FROM jobs WHERE status = 'dead' AND attempts = 8 AND last_error IS NOT NULL";
    assert_eq!(number(&mut db, sql).await, 20);
    let of_type = "SELECT event_type, COUNT(*) FROM events GROUP BY 1 ORDER BY 1";
    let events: Vec<(String, i64)> = sqlx::query_as(of_type).fetch_all(&mut db).await.unwrap();
    assert_eq!(events, [("job.dead".to_owned(), 20), ("job.failed".to_owned(), 20 * 7)]);
}

#[tokio::test]
async fn a_dead_job_is_shown_retried_and_deleted() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let home = server.stop().await;
    let insert = "INSERT INTO jobs (id, kind, key, origin, payload, status, due_at, attempts, last_error, created_by,
                  created_at) VALUES ('job_019b7c5e-8f00-7000-8000-000000000001', 'agent.remove', 'x', 'bob', '\"x\"',
                  'dead', '2026-01-02T03:04:05.678Z', 8, 'why', 'local', '2026-01-02T03:04:05.678Z')";
    sqlx::query(insert).execute(&mut database(home.path()).await).await.unwrap();
    let server = Server::at(home, |_| {}).await;
    let dead = server.get("/v1/jobs?status=dead").await.expect(200);
    assert_eq!((dead.as_array().unwrap().len(), &dead[0]["last_error"]), (1, &json!("why")));
    let kinds = server.get("/v1/jobs?limit=10").await.expect(200);
    let kinds: Vec<_> = kinds.as_array().unwrap().iter().map(|job| job["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"events.prune") && kinds.contains(&"audit.prune"), "{kinds:?}");
    server.get("/v1/jobs?agent_id=nobody").await.error(404, "agent_not_found");
    server.get("/v1/jobs?status=other").await.error(400, "invalid_query");
    let job = format!("/v1/jobs/{}", dead[0]["id"].as_str().unwrap());
    let mut events = server.events("event_type=job.*").await;
    let retried = server.post(&format!("{job}/retry"), Value::Null).await.expect(200);
    assert_eq!((&retried["status"], &retried["attempts"]), (&json!("due"), &json!(0)));
    // It fails again, as it has no agent, and says why.
    let failed = events.until("job.failed").await.pop().unwrap().data["payload"].clone();
    assert_eq!(
        (&failed["kind"], &failed["attempt"], &failed["origin"]),
        (&json!("agent.remove"), &json!(1), &json!("bob"))
    );
    let shown = server.get(&job).await.expect(200);
    assert_eq!((&shown["status"], &shown["attempts"]), (&json!("due"), &json!(1)));
    assert!(shown["last_error"].as_str().is_some_and(|error| error != "why"), "{shown}");
    server.delete(&job).await.error(409, "job_needed");
    let home = server.stop().await;
    sqlx::query("UPDATE jobs SET status = 'dead' WHERE key = 'x'")
        .execute(&mut database(home.path()).await)
        .await
        .unwrap();
    let server = Server::at(home, |_| {}).await;
    send(server.request(Method::DELETE, &job)).await.expect(204);
    server.get(&job).await.error(404, "job_not_found");
}

/// Waits until a query counts nothing.
async fn until_none(db: &mut SqliteConnection, sql: &'static str) {
    let gone = async {
        while number(db, sql).await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("the removal takes too long");
}

#[tokio::test]
async fn the_data_of_a_removed_skill_is_removed_in_pieces() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    let shared = json!({ "component": { "bundled": "notes" }, "agents": "all" });
    let shared = server.post("/v1/components", shared).await.expect(201);
    let home = server.stop().await;
    // As that of many agents.
    let insert = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
                  INSERT INTO keyvalue (installation, agent, key, value) SELECT i.key, n.i, 'a', x'00'
                  FROM n, installations i WHERE i.kind = 'skill'";
    sqlx::query(insert).execute(&mut database(home.path()).await).await.unwrap();
    let server = Server::at(home, |_| {}).await;
    server.delete(&format!("/v1/components/{}", shared["id"].as_str().unwrap())).await.expect(204);
    let mut db = database(server.home.path()).await;
    until_none(&mut db, "SELECT COUNT(*) FROM keyvalue").await;
    until_none(&mut db, "SELECT COUNT(*) FROM jobs WHERE kind = 'keyvalue.remove'").await;
}

#[tokio::test]
async fn a_deleted_agent_is_gone_at_once_and_its_rows_in_pieces() {
    let server = Server::start().await;
    server.offline("ada", "echo").await;
    server.install("ada", "notes").await;
    let note = json!({ "title": "milk", "text": "two bottles" });
    server.invoke("ada", "notes", "write", note).await.expect(200);
    server.run("ada", "hello").await;
    let home = server.stop().await;
    // Far more than the deletion itself removes.
    let insert = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
                  INSERT INTO messages (id, session, run, role, content, created_at)
                  SELECT 'msg_' || i, r.session, r.id, 'user', 'x', r.created_at FROM n, runs r";
    sqlx::query(insert).execute(&mut database(home.path()).await).await.unwrap();
    let server = Server::at(home, |_| {}).await;
    server.delete("/v1/agents/ada").await.expect(204);
    server.get("/v1/agents/ada").await.error(404, "agent_not_found");
    // A new agent of that name starts empty.
    server.offline("ada", "echo").await;
    assert_eq!(server.get("/v1/agents/ada/runs").await.expect(200), json!([]));
    assert_eq!(server.get("/v1/agents/ada/history").await.expect(200), json!([]));
    let mut events = server.events("after=0&agent_id=ada").await;
    let first = events.next().await.unwrap();
    assert_eq!(first.kind, "agent.deleted", "{:?}", first.data);
    let mut db = database(server.home.path()).await;
    until_none(&mut db, "SELECT COUNT(*) FROM agents WHERE deleted_at IS NOT NULL").await;
    assert_eq!(number(&mut db, "SELECT COUNT(*) FROM messages").await, 0);
    assert_eq!(number(&mut db, "SELECT COUNT(*) FROM keyvalue").await, 0);
    assert_eq!(number(&mut db, "SELECT COUNT(*) FROM jobs WHERE kind = 'agent.remove'").await, 0);
}
