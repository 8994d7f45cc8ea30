//! Read connections: a pool for clients, whose queries have a time limit, and one for the server's own work, so that no
//! client delays a run.

use std::{
    ops::{Deref, DerefMut},
    path::Path,
    time::{Duration, Instant},
};

use moxxy_types::error::Result;
use sqlx::{
    Sqlite, SqlitePool,
    pool::PoolConnection,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};

use super::{Db, cannot_open};

/// Maximum number of connections in each pool.
const MAX_CONNECTIONS: u32 = 4;
/// Number of rows that a reader is ahead of its consumer. Rows can be large, and each refill is a switch of threads.
const ROW_BUFFER: usize = 16;
/// Maximum time for which a client's request uses a connection.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// Number of SQLite's instructions between checks of the time limit: well below a millisecond.
const CHECK_INTERVAL: i32 = 10_000;

tokio::task_local! {
    /// Set while a request of a client is handled.
    static CLIENT_REQUEST: ();
}

/// The pools.
#[derive(Debug, Clone)]
pub(crate) struct Readers {
    own: SqlitePool,
    clients: SqlitePool,
}

/// A read-only connection.
#[derive(Debug)]
pub struct Reader(PoolConnection<Sqlite>);

/// Handles a request of a client: what it reads is subject to the limits of clients. What it spawns is not.
pub async fn handle_request<F: Future>(request: F) -> F::Output {
    CLIENT_REQUEST.scope((), request).await
}

impl Readers {
    pub(crate) async fn open(options: &SqliteConnectOptions, path: &Path) -> Result<Self> {
        let options = options.clone().read_only(true).pragma("query_only", "on").row_buffer_size(ROW_BUFFER);
        let pool = async || {
            let pool = SqlitePoolOptions::new()
                .max_connections(MAX_CONNECTIONS)
                // A connection to a file does not break, and the test would be one more switch of threads.
                .test_before_acquire(false);
            pool.connect_with(options.clone()).await.map_err(|e| cannot_open(path, &e))
        };
        Ok(Self { own: pool().await?, clients: pool().await? })
    }

    pub(crate) async fn acquire(&self, for_client: bool) -> Result<Reader> {
        if !for_client && CLIENT_REQUEST.try_with(|()| ()).is_err() {
            return Ok(Reader(self.own.acquire().await?));
        }
        let mut connection = self.clients.acquire().await?;
        let started = Instant::now();
        let in_time = move || started.elapsed() < CLIENT_TIMEOUT;
        connection.lock_handle().await?.set_progress_handler(CHECK_INTERVAL, in_time);
        Ok(Reader(connection))
    }

    pub(crate) async fn close(&self) {
        self.own.close().await;
        self.clients.close().await;
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
