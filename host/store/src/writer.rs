//! The single writer. Waiting transactions are committed as a group, each in its own savepoint. They share one
//! flush to disk, and a failed transaction rolls back only itself.

use std::{
    ops::{Deref, DerefMut},
    panic::AssertUnwindSafe,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use moxxy_types::{
    clock::Clock,
    database,
    error::{Error, Problem, Result},
    events::LoggedEvent,
};
use sqlx::{ConnectOptions as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{mpsc, oneshot};

use super::{audit::Chain, outage::StorageOutage};
use crate::{Db, events::Events};

/// Maximum number of transactions per commit.
const GROUP: usize = 64;
/// Number of attempts to begin a transaction while another program locks the database. Each waits for
/// [`super::BUSY`].
const TRIES: usize = 6;

/// An open transaction. Dereferences to a connection, so every function of the store accepts it.
#[derive(Debug)]
pub struct Tx {
    connection: SqliteConnection,
    /// Options to reconnect with.
    options: SqliteConnectOptions,
    recorded: Vec<LoggedEvent>,
    clock: Clock,
    chain: Chain,
    outage: StorageOutage,
    /// Whether the disk was full or failed in the open group.
    failing: bool,
}

/// Sends the result to the caller once it is known whether the group was committed.
type Answer = Box<dyn FnOnce(Result<()>) + Send>;
type Work = Box<dyn for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<Answer, Failed>> + Send>;

/// A transaction that failed.
struct Failed {
    answer: Answer,
    /// The storage error, if that is the cause. It may have rolled back the whole group.
    disk: Option<Problem>,
}

/// A transaction that waits for the writer.
pub struct Job(Work);

impl Tx {
    pub(super) fn new(
        (connection, options): (SqliteConnection, SqliteConnectOptions),
        clock: Clock,
        chain: Chain,
        outage: StorageOutage,
    ) -> Self {
        Self { connection, options, recorded: Vec::new(), clock, chain, outage, failing: false }
    }

    /// Timestamp for the rows of this transaction.
    pub fn now(&self) -> String {
        self.clock.timestamp()
    }

    /// Timestamp `seconds` from now.
    pub fn after(&self, seconds: i64) -> String {
        self.clock.after(seconds)
    }

    pub(super) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Queues an event for the broadcast after the commit.
    pub(super) fn broadcast(&mut self, event: LoggedEvent) {
        self.recorded.push(event);
    }

    async fn execute(&mut self, sql: &'static str) -> Result<()> {
        sqlx::query(sql).execute(&mut self.connection).await?;
        Ok(())
    }

    /// Opens a group's transaction. A connection that fails is replaced, because the cause may be temporary.
    async fn begin(&mut self) -> Result<()> {
        const BEGIN: &str = "BEGIN IMMEDIATE";
        for _ in 0..TRIES {
            match sqlx::query(BEGIN).execute(&mut self.connection).await {
                Ok(_) => return Ok(()),
                Err(error) if database::is_busy(&error) => tracing::warn!("the database is locked by another program"),
                Err(error) => {
                    tracing::error!(?error, "the writer's connection failed; reconnecting");
                    self.connection = self.options.connect().await?;
                }
            }
        }
        self.execute(BEGIN).await
    }

    async fn savepoint(&mut self, Job(work): Job, answers: &mut Vec<Answer>) -> Result<()> {
        let recorded = self.recorded.len();
        self.execute("SAVEPOINT job").await?;
        match work(self).await {
            Ok(answer) => {
                answers.push(answer);
                self.execute("RELEASE job").await
            }
            Err(Failed { answer, disk }) => {
                answers.push(answer);
                self.failing |= disk.is_some();
                self.recorded.truncate(recorded);
                let undone = self.undo().await;
                // If the disk was full, SQLite has already rolled back the whole group.
                undone.map_err(|error| disk.map_or(error, Error::Unavailable))
            }
        }
    }

    async fn undo(&mut self) -> Result<()> {
        self.execute("ROLLBACK TO job").await?;
        self.execute("RELEASE job").await
    }

    async fn group(&mut self, first: Job, waiting: &mut mpsc::Receiver<Job>, answers: &mut Vec<Answer>) -> Result<()> {
        self.begin().await?;
        self.savepoint(first, answers).await?;
        while answers.len() < GROUP {
            let Ok(next) = waiting.try_recv() else { break };
            self.savepoint(next, answers).await?;
        }
        self.execute("COMMIT").await
    }
}

impl Deref for Tx {
    type Target = Db;
    fn deref(&self) -> &Db {
        &self.connection
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Db {
        &mut self.connection
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

/// Wraps a transaction so that its result reaches the caller only after the commit.
pub(super) fn job<T, F>(transaction: F) -> (Job, oneshot::Receiver<Result<T>>)
where
    T: Send + 'static,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let work: Work = Box::new(move |tx| {
        Box::pin(async move {
            let result = AssertUnwindSafe(async { transaction(tx).await }).catch_unwind().await;
            let result = result.unwrap_or_else(|_| Err(Error::internal("a transaction panicked")));
            let failed = result.as_ref().err().map(disk);
            // The caller may be gone. The transaction is committed regardless.
            let answer: Answer = Box::new(move |committed| drop(sender.send(told(committed, result))));
            match failed {
                Some(disk) => Err(Failed { answer, disk }),
                None => Ok(answer),
            }
        })
    });
    (Job(work), receiver)
}

/// Returns the result for the caller. If the commit failed, the caller's own error is returned only if it is a
/// storage error; other errors depended on changes that were rolled back.
fn told<T>(committed: Result<()>, result: Result<T>) -> Result<T> {
    match (committed, result) {
        (Err(_), Err(own)) if own.is_storage_error() => Err(own),
        (committed, result) => committed.and(result),
    }
}

/// Returns the problem if the storage failed.
fn disk(error: &Error) -> Option<Problem> {
    match error {
        Error::Unavailable(problem) if error.is_storage_error() => Some(problem.clone()),
        _ => None,
    }
}

/// Runs transactions until every [`super::Store`] is dropped.
pub(super) async fn run(mut tx: Tx, mut waiting: mpsc::Receiver<Job>, events: Events) {
    while let Some(first) = waiting.recv().await {
        let mut answers = Vec::new();
        let committed = tx.group(first, &mut waiting, &mut answers).await;
        let recorded = std::mem::take(&mut tx.recorded);
        let failing = std::mem::take(&mut tx.failing);
        tx.outage.note(committed.is_ok() && !failing);
        match committed {
            Ok(()) => {
                events.broadcast(recorded);
                answers.into_iter().for_each(|answer| answer(Ok(())));
            }
            Err(error) => {
                tracing::error!(?error, "a commit failed");
                // Fails if the transaction is already rolled back, which is fine.
                drop(sqlx::query("ROLLBACK").execute(&mut tx.connection).await);
                let failed = || disk(&error).map_or_else(Error::database_failed, Error::Unavailable);
                answers.into_iter().for_each(|answer| answer(Err(failed())));
            }
        }
    }
}
