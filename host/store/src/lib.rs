//! Embedded SQLite database. Reads use a connection pool. Writes go through [`Store::write`] to a single
//! writer, which commits waiting transactions together. Functions take a connection, so they compose; each
//! group of tables has one module.

pub mod agents;
pub mod audit;
pub mod backup;
pub mod chat_turns;
pub mod checks;
pub mod components;
mod condition;
pub mod events;
pub mod grants;
pub mod idempotency;
pub mod installations;
pub mod jobs;
pub mod keyvalue;
pub mod learned_models;
pub mod messages;
pub mod migration;
pub mod model_calls;
pub mod model_lists;
mod outage;
pub mod questions;
pub mod readers;
pub mod retention;
pub mod runs;
pub mod secrets;
pub mod sessions;
pub mod steps;
pub mod tokens;
pub mod usage;
mod writer;

use std::{os::unix::fs::OpenOptionsExt as _, path::Path, time::Duration};

use futures_util::future::BoxFuture;
use moxxy_system::tasks::{Policy, Tasks};
use moxxy_types::{
    clock::Clock,
    database,
    error::{Error, Result},
};
use sqlx::{
    ConnectOptions as _, Connection as _, FromRow, SqliteConnection,
    sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{events::Events, readers::Readers};

pub use condition::Condition;
pub use readers::Reader;
pub use writer::Tx;

/// A connection. Every function of this crate takes one, whether it reads or writes.
pub type Db = SqliteConnection;

/// Time that SQLite waits for a lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Capacity of the queue of waiting write transactions.
const WRITE_QUEUE_CAPACITY: usize = 1024;
/// Retry interval of [`Store::persist`].
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct Store {
    jobs: mpsc::Sender<writer::Job>,
    readers: Readers,
    /// Whether its readers are those for clients.
    for_clients: bool,
    clock: Clock,
    chain: audit::Chain,
    /// Whether this start added the audit log to a database that had been used without one.
    precedes_log: bool,
    outage: outage::StorageOutage,
    monitor: condition::Monitor,
    shutdown: CancellationToken,
    job_changes: watch::Sender<()>,
}

/// A row with its place in a list that is paged by position.
#[derive(Debug, FromRow)]
struct Positioned<T> {
    position: i64,
    #[sqlx(flatten)]
    item: T,
}

impl Store {
    /// Opens the database. Creates and migrates it if necessary.
    pub async fn open(path: &Path, events: Events, clock: Clock, tasks: &Tasks) -> Result<Self> {
        make_private(path).map_err(|e| cannot_open(path, &sqlx::Error::Io(e)))?;
        // Check with a read-only connection first: the file may belong to another program.
        let mut probe = reader(path).await?;
        migration::version(&mut probe, path).await?;
        probe.close().await?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        // Takes effect in a new database, and in a restored one.
        let writing = options.clone().auto_vacuum(SqliteAutoVacuum::Incremental);
        let mut connection = writing.connect().await.map_err(|e| cannot_open(path, &e))?;
        let monitor = condition::Monitor::new(path).map_err(|e| cannot_open(path, &sqlx::Error::Io(e)))?;
        let version = migration::migrate(&mut connection, path).await?;
        let readers = Readers::open(&options, path).await?;
        let (jobs, queue) = mpsc::channel(WRITE_QUEUE_CAPACITY);
        let (chain, outage) = (audit::Chain::default(), outage::StorageOutage::default());
        let tx = Tx::new((connection, writing), clock.clone(), chain.clone(), outage.clone());
        let job_changes = watch::Sender::default();
        tasks.spawn(
            "store writer",
            Policy::Drain,
            writer::run(tx, queue, (events, job_changes.clone()), readers.clone()),
        );
        let precedes_log = (1..migration::AUDIT_LOG_VERSION).contains(&version);
        Ok(Self {
            jobs,
            readers,
            for_clients: false,
            clock,
            chain,
            precedes_log,
            outage,
            monitor,
            shutdown: tasks.shutdown().clone(),
            job_changes,
        })
    }

    /// Returns a connection that sees everything committed so far.
    pub async fn read(&self) -> Result<Reader> {
        self.readers.acquire(self.for_clients).await
    }

    /// Returns the store as one whose readers are those for clients, for what outlives the request of a client.
    #[must_use]
    pub fn for_clients(&self) -> Self {
        Self { for_clients: true, ..self.clone() }
    }

    /// Runs a transaction. Its changes and its recorded events are committed together, or not at all if it
    /// fails. The events are broadcast after the commit. The transaction completes even if the caller is
    /// dropped.
    pub async fn write<T, F>(&self, transaction: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + 'static,
    {
        self.monitor.check_present()?;
        self.submit(transaction).await
    }

    async fn submit<T, F>(&self, transaction: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + 'static,
    {
        let (job, receiver) = writer::job(transaction);
        let closed = |_| Error::unavailable("shutting_down", "The server is shutting down");
        self.jobs.send(job).await.map_err(closed)?;
        receiver.await.map_err(|_| Error::database_failed())?
    }

    /// Like [`Store::write`], for data that must not be lost. If the disk is full or fails, retries until the
    /// server stops. Also writes to a file that was removed, so that a run can end with that as the reason.
    pub async fn persist<T, F>(&self, transaction: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Clone + Send + 'static,
    {
        loop {
            match self.submit(transaction.clone()).await {
                Err(error) if error.is_storage_error() => tokio::select! {
                    () = tokio::time::sleep(RETRY_INTERVAL) => {}
                    () = self.shutdown.cancelled() => return Err(error),
                },
                done => return done,
            }
        }
    }

    /// Sets the key that chains the entries of the audit log.
    pub fn chain(&self, key: audit::Key) {
        self.chain.set(key);
    }

    pub fn precedes_log(&self) -> bool {
        self.precedes_log
    }

    /// Returns what is known of the database file.
    pub fn condition(&self) -> Condition {
        self.monitor.condition()
    }

    /// Returns an error if the database file is missing.
    pub fn check_present(&self) -> Result<()> {
        self.monitor.check_present()
    }

    /// Records that a query has read a damaged page.
    pub fn record_damage(&self) {
        self.monitor.record_damage();
    }

    /// Returns the total duration of storage outages.
    pub fn outage(&self) -> Duration {
        self.outage.total()
    }

    /// Notified when this process changed when jobs are due.
    pub fn job_changes(&self) -> watch::Receiver<()> {
        self.job_changes.subscribe()
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}

/// Opens a read-only connection to a database that a server may be using.
pub async fn reader(path: &Path) -> Result<Db> {
    let options =
        SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT).row_buffer_size(4);
    options.connect().await.map_err(|e| cannot_open(path, &e))
}

/// Starts a read transaction: the connection sees a snapshot of the current state.
pub async fn snapshot(db: &mut Db) -> Result<()> {
    sqlx::query("BEGIN").execute(db).await?;
    Ok(())
}

/// Creates the file with mode 0600. SQLite would use the umask, and gives its companion files the mode of this
/// file.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new();
    file.create(true).append(true).mode(0o600).open(path).map(drop)
}

fn cannot_open(path: &Path, error: &sqlx::Error) -> Error {
    if database::is_damaged(error) {
        return migration::damaged(path, error);
    }
    Error::conflict("database_unusable", format!("Cannot open the database {}: {error}", path.display()))
}

/// Serializes a value for a JSON column.
fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(Error::internal)
}

/// Parses a JSON column.
fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(Error::internal)
}
