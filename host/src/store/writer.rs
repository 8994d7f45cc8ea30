//! The one writer. Transactions that wait together are committed together, each in its savepoint,
//! so that many runs share one flush to disk and a failed one undoes only itself.

use std::{
    ops::{Deref, DerefMut},
    panic::AssertUnwindSafe,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use sqlx::SqliteConnection;
use tokio::sync::{mpsc, oneshot};

use super::audit::Chain;
use crate::{
    clock::Clock,
    error::{Error, Result},
    events::{Events, Recorded},
    store::Db,
};

/// The most transactions in one commit.
const GROUP: usize = 64;

/// An open transaction. Dereferences to a connection, so it can be given to every function of
/// the store.
#[derive(Debug)]
pub struct Tx {
    connection: SqliteConnection,
    recorded: Vec<Recorded>,
    clock: Clock,
    chain: Chain,
}

/// Answers the caller once it is known whether the group was committed.
type Answer = Box<dyn FnOnce(Result<()>) + Send>;
type Work = Box<dyn for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<Answer, Answer>> + Send>;

/// A transaction that waits for the writer.
pub struct Job(Work);

impl Tx {
    pub(super) fn new(connection: SqliteConnection, clock: Clock, chain: Chain) -> Self {
        Self { connection, recorded: Vec::new(), clock, chain }
    }

    /// The time that this transaction writes.
    pub fn now(&self) -> String {
        self.clock.timestamp()
    }

    /// The time in so many seconds.
    pub fn after(&self, seconds: i64) -> String {
        self.clock.after(seconds)
    }

    pub(super) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Notes an event to be broadcast after the commit.
    pub(super) fn broadcast(&mut self, event: Recorded) {
        self.recorded.push(event);
    }

    async fn execute(&mut self, sql: &'static str) -> Result<()> {
        sqlx::query(sql).execute(&mut self.connection).await?;
        Ok(())
    }

    async fn savepoint(&mut self, Job(work): Job) -> Result<Answer> {
        let recorded = self.recorded.len();
        self.execute("SAVEPOINT job").await?;
        match work(self).await {
            Ok(answer) => {
                self.execute("RELEASE job").await?;
                Ok(answer)
            }
            Err(answer) => {
                self.recorded.truncate(recorded);
                self.execute("ROLLBACK TO job").await?;
                self.execute("RELEASE job").await?;
                Ok(answer)
            }
        }
    }

    async fn group(&mut self, first: Job, waiting: &mut mpsc::Receiver<Job>, answers: &mut Vec<Answer>) -> Result<()> {
        self.execute("BEGIN IMMEDIATE").await?;
        answers.push(self.savepoint(first).await?);
        while answers.len() < GROUP {
            let Ok(next) = waiting.try_recv() else { break };
            answers.push(self.savepoint(next).await?);
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
            let failed = result.is_err();
            // The caller may be gone; the transaction counts all the same.
            let answer: Answer = Box::new(move |committed| drop(sender.send(committed.and(result))));
            if failed { Err(answer) } else { Ok(answer) }
        })
    });
    (Job(work), receiver)
}

/// What callers are told of a group that was not committed.
pub(super) fn failed() -> Error {
    Error::unavailable("database_failed", "The database could not store the change")
}

/// Runs transactions until every [`super::Store`] is gone.
pub(super) async fn run(mut tx: Tx, mut waiting: mpsc::Receiver<Job>, events: Events) {
    while let Some(first) = waiting.recv().await {
        let mut answers = Vec::new();
        let committed = tx.group(first, &mut waiting, &mut answers).await;
        let recorded = std::mem::take(&mut tx.recorded);
        match committed {
            Ok(()) => {
                events.broadcast(recorded);
                answers.into_iter().for_each(|answer| answer(Ok(())));
            }
            Err(error) => {
                tracing::error!(error = ?error, "a commit failed");
                // Fails when the transaction is already gone, which is as well.
                drop(tx.execute("ROLLBACK").await);
                answers.into_iter().for_each(|answer| answer(Err(failed())));
            }
        }
    }
}
