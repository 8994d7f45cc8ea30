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
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{mpsc, oneshot, watch};

use super::{audit::Chain, outage::StorageOutage};
use crate::{
    Db,
    events::Events,
    readers::Readers,
    usage::{self, PendingUsage},
};

/// Maximum number of transactions per commit.
const MAX_GROUP_TRANSACTIONS: usize = 64;
/// Number of attempts to begin a transaction while another program locks the database. Each waits for
/// [`super::BUSY_TIMEOUT`].
const MAX_BEGIN_ATTEMPTS: usize = 6;
const BEGIN: &str = "BEGIN IMMEDIATE";

/// An open transaction. Dereferences to a connection, so every function of the store accepts it.
#[derive(Debug)]
pub struct Tx {
    connection: SqliteConnection,
    /// Options to reconnect with.
    options: SqliteConnectOptions,
    pending_events: Vec<LoggedEvent>,
    pub(super) pending_usage: PendingUsage,
    clock: Clock,
    chain: Chain,
    outage: StorageOutage,
    /// Whether the disk was full or failed in the open group.
    storage_failed: bool,
    /// Whether the group changed when jobs are due.
    changed_jobs: bool,
}

/// Sends the result to the caller once it is known whether the group was committed.
type Responder = Box<dyn FnOnce(Result<()>) + Send>;
type TransactionFn = Box<dyn for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<Responder, FailedTransaction>> + Send>;

/// A transaction that failed.
struct FailedTransaction {
    responder: Responder,
    /// The storage error, if that is the cause. It may have rolled back the whole group.
    storage_problem: Option<Problem>,
}

/// A transaction that waits for the writer.
pub(crate) struct Job(TransactionFn);

impl Tx {
    pub(super) fn new(
        (connection, options): (SqliteConnection, SqliteConnectOptions),
        clock: Clock,
        chain: Chain,
        outage: StorageOutage,
    ) -> Self {
        Self {
            connection,
            options,
            pending_events: Vec::new(),
            pending_usage: PendingUsage::default(),
            clock,
            chain,
            outage,
            storage_failed: false,
            changed_jobs: false,
        }
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

    /// Lets the drivers look for due jobs after the commit.
    pub(super) fn wake_jobs(&mut self) {
        self.changed_jobs = true;
    }

    /// Records an event. It is inserted at the end of the transaction, and broadcast after the commit.
    pub(super) fn record(&mut self, event: LoggedEvent) {
        self.pending_events.push(event);
    }

    /// Inserts the events that were recorded since the first `inserted` of the group.
    async fn insert_events(&mut self, inserted: usize) -> Result<()> {
        let mut new = self.pending_events.split_off(inserted);
        if !new.is_empty() {
            crate::events::insert(&mut self.connection, &mut new).await?;
            self.pending_events.append(&mut new);
        }
        Ok(())
    }

    async fn execute(&mut self, sql: &'static str) -> Result<()> {
        sqlx::query(sql).execute(&mut self.connection).await?;
        Ok(())
    }

    /// Opens a group's transaction. A connection that fails is replaced, because the cause may be temporary.
    async fn begin(&mut self) -> Result<()> {
        for _ in 0..MAX_BEGIN_ATTEMPTS {
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

    /// Runs a transaction of a group, in a savepoint unless it is the first with changes.
    async fn run_in_group(
        &mut self,
        Job(transaction): Job,
        is_first: bool,
        responders: &mut Vec<Responder>,
    ) -> Result<bool> {
        let events_before = self.pending_events.len();
        if !is_first {
            self.execute("SAVEPOINT job").await?;
        }
        match transaction(self).await {
            Ok(responder) => {
                responders.push(responder);
                if !is_first {
                    self.execute("RELEASE job").await?;
                }
                Ok(true)
            }
            Err(FailedTransaction { responder, storage_problem }) => {
                responders.push(responder);
                self.storage_failed |= storage_problem.is_some();
                self.pending_events.truncate(events_before);
                self.pending_usage = PendingUsage::default();
                let rolled_back = self.roll_back(is_first).await;
                // If the disk was full, SQLite has already rolled back the whole group.
                rolled_back.map_err(|error| storage_problem.map_or(error, Error::Unavailable))?;
                Ok(false)
            }
        }
    }

    async fn roll_back(&mut self, is_first: bool) -> Result<()> {
        let (back, again) = if is_first { ("ROLLBACK", BEGIN) } else { ("ROLLBACK TO job", "RELEASE job") };
        self.execute(back).await?;
        self.execute(again).await
    }

    async fn run_group(
        &mut self,
        first: Job,
        queue: &mut mpsc::Receiver<Job>,
        responders: &mut Vec<Responder>,
    ) -> Result<()> {
        self.begin().await?;
        let mut has_changes = self.run_in_group(first, true, responders).await?;
        while responders.len() < MAX_GROUP_TRANSACTIONS {
            let Ok(next) = queue.try_recv() else { break };
            has_changes |= self.run_in_group(next, !has_changes, responders).await?;
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
    let work: TransactionFn = Box::new(move |tx| {
        Box::pin(async move {
            let events_before = tx.pending_events.len();
            let carry_out = async {
                let done = transaction(tx).await?;
                usage::flush(tx).await?;
                tx.insert_events(events_before).await?;
                Ok(done)
            };
            let result = AssertUnwindSafe(carry_out).catch_unwind().await;
            let result = result.unwrap_or_else(|_| Err(Error::internal("a transaction panicked")));
            let failed = result.as_ref().err().map(storage_problem);
            // The caller may be gone. The transaction is committed regardless.
            let responder: Responder = Box::new(move |committed| drop(sender.send(caller_result(committed, result))));
            match failed {
                Some(storage_problem) => Err(FailedTransaction { responder, storage_problem }),
                None => Ok(responder),
            }
        })
    });
    (Job(work), receiver)
}

/// Returns the result for the caller. If the commit failed, the caller's own error is returned only if it is a
/// storage error; other errors depended on changes that were rolled back.
fn caller_result<T>(committed: Result<()>, result: Result<T>) -> Result<T> {
    match (committed, result) {
        (Err(_), Err(own)) if own.is_storage_error() => Err(own),
        (committed, result) => committed.and(result),
    }
}

/// Returns the problem if the storage failed.
fn storage_problem(error: &Error) -> Option<Problem> {
    match error {
        Error::Unavailable(problem) if error.is_storage_error() => Some(problem.clone()),
        _ => None,
    }
}

/// Runs transactions until every [`super::Store`] is dropped. Then closes the database: the readers first, because
/// only a connection that can write merges the write-ahead log into the database when it is the last one.
pub(super) async fn run(
    mut tx: Tx,
    mut queue: mpsc::Receiver<Job>,
    (events, job_changes): (Events, watch::Sender<()>),
    readers: Readers,
) {
    while let Some(first) = queue.recv().await {
        let mut responders = Vec::new();
        let committed = tx.run_group(first, &mut queue, &mut responders).await;
        let pending_events = std::mem::take(&mut tx.pending_events);
        let storage_failed = std::mem::take(&mut tx.storage_failed);
        tx.outage.record_write(committed.is_ok() && !storage_failed);
        match committed {
            Ok(()) => {
                events.broadcast(pending_events);
                if std::mem::take(&mut tx.changed_jobs) {
                    job_changes.send_replace(());
                }
                responders.into_iter().for_each(|responder| responder(Ok(())));
            }
            Err(error) => {
                tracing::error!(?error, "a commit failed");
                // Fails if the transaction is already rolled back, which is fine.
                drop(sqlx::query("ROLLBACK").execute(&mut tx.connection).await);
                let failed = || storage_problem(&error).map_or_else(Error::database_failed, Error::Unavailable);
                responders.into_iter().for_each(|responder| responder(Err(failed())));
            }
        }
    }
    readers.close().await;
    if let Err(error) = tx.connection.close().await {
        tracing::error!(?error, "the database could not be closed");
    }
}
