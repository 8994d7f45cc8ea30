//! The embedded database, and the only module that names sqlx. Reads go through a pool; every
//! write goes through [`Store::write`], to one writer that commits waiting transactions together.
//! Functions take the connection, so they compose; one file for each group of tables.

pub mod agents;
pub mod audit;
pub mod backup;
pub mod checks;
pub mod components;
pub mod events;
pub mod grants;
pub mod idempotency;
pub mod keyvalue;
pub mod messages;
pub mod migration;
mod outage;
pub mod providers;
pub mod questions;
pub mod runs;
pub mod secrets;
pub mod sessions;
pub mod skills;
pub mod steps;
pub mod tokens;
mod writer;

use std::{
    ops::{Deref, DerefMut},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use futures_util::future::BoxFuture;
use moxxy_system::tasks::{Policy, Tasks};
use moxxy_types::{
    clock::Clock,
    database,
    error::{Error, Result},
};
use sqlx::{
    ConnectOptions as _, Connection as _, Sqlite, SqliteConnection, SqlitePool,
    pool::PoolConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::events::Events;

pub use writer::Tx;

/// A connection: what every function of this module takes, whether it reads or writes.
pub type Db = SqliteConnection;

const READERS: u32 = 4;
const BUSY: Duration = Duration::from_secs(5);
const WAITING_WRITES: usize = 1024;
/// Between two tries to store what must not be lost.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct Store {
    jobs: mpsc::Sender<writer::Job>,
    readers: SqlitePool,
    clock: Clock,
    chain: audit::Chain,
    /// Whether this start gave the database its audit log, after it was used without one.
    precedes_log: bool,
    outage: outage::StorageOutage,
    shutdown: CancellationToken,
}

/// A connection for reading.
#[derive(Debug)]
pub struct Reader(PoolConnection<Sqlite>);

impl Store {
    /// Opens the database, makes it if it is not there, and brings it up to date.
    pub async fn open(path: &Path, events: Events, clock: Clock, tasks: &Tasks) -> Result<Self> {
        make_private(path).map_err(|e| cannot_open(path, &sqlx::Error::Io(e)))?;
        // First by a connection that changes nothing: it may be somebody else's.
        let mut look = reader(path).await?;
        migration::version(&mut look, path).await?;
        look.close().await?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY);
        let mut connection = options.connect().await.map_err(|e| cannot_open(path, &e))?;
        let version = migration::migrate(&mut connection, path).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            // Rows can be large, and most readers stop early.
            .connect_with(options.clone().read_only(true).pragma("query_only", "on").row_buffer_size(4))
            .await
            .map_err(|e| cannot_open(path, &e))?;
        let (jobs, waiting) = mpsc::channel(WAITING_WRITES);
        let (chain, outage) = (audit::Chain::default(), outage::StorageOutage::default());
        let tx = Tx::new((connection, options), clock.clone(), chain.clone(), outage.clone());
        tasks.spawn("store writer", Policy::Drain, writer::run(tx, waiting, events));
        let precedes_log = (1..migration::AUDIT_LOG).contains(&version);
        Ok(Self { jobs, readers, clock, chain, precedes_log, outage, shutdown: tasks.shutdown().clone() })
    }

    /// A connection that sees everything committed so far.
    pub async fn read(&self) -> Result<Reader> {
        Ok(Reader(self.readers.acquire().await?))
    }

    /// Runs a transaction. Its changes and the events it recorded are committed together, or
    /// not at all if it fails; then the events are broadcast. It ends even if the caller is gone.
    pub async fn write<T, F>(&self, transaction: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + 'static,
    {
        let (job, answer) = writer::job(transaction);
        let closed = |_| Error::unavailable("shutting_down", "The server is shutting down");
        self.jobs.send(job).await.map_err(closed)?;
        answer.await.map_err(|_| Error::database_failed())?
    }

    /// The same for what must not be lost: where the disk is full or fails, it waits and tries again, until
    /// the server stops.
    pub async fn persist<T, F>(&self, transaction: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Clone + Send + 'static,
    {
        loop {
            match self.write(transaction.clone()).await {
                Err(error) if error.is_storage_error() => tokio::select! {
                    () = tokio::time::sleep(AGAIN) => {}
                    () = self.shutdown.cancelled() => return Err(error),
                },
                done => return done,
            }
        }
    }

    /// From now on entries of the audit log are chained by this key.
    pub fn chain(&self, key: audit::Key) {
        self.chain.set(key);
    }

    pub fn precedes_log(&self) -> bool {
        self.precedes_log
    }

    /// How long nothing could be stored, all in all.
    pub fn outage(&self) -> Duration {
        self.outage.total()
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}

impl Deref for Reader {
    type Target = Db;
    fn deref(&self) -> &Db {
        &self.0
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut Db {
        &mut self.0
    }
}

/// A connection to a database that a server uses perhaps.
pub async fn reader(path: &Path) -> Result<Db> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY).row_buffer_size(4);
    options.connect().await.map_err(|e| cannot_open(path, &e))
}

/// From now on the connection sees what there is now.
pub async fn snapshot(db: &mut Db) -> Result<()> {
    sqlx::query("BEGIN").execute(db).await?;
    Ok(())
}

/// Makes the file before SQLite does, which gives it and its companions the process's mode.
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

/// Writes a value as a JSON column.
fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(Error::internal)
}

/// Reads a JSON column.
fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(Error::internal)
}
