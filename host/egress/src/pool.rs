//! Connection pool. A connection is reused only for the same origin under the same policy and rule.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hyper::client::conn::http1::SendRequest;
use moxxy_system::{
    fair_semaphore::{FairPermit, FairSemaphore},
    tasks::Task,
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};

use super::{
    body::RequestBody,
    error::Error,
    rule::{Policy, Rule},
    target::Target,
};

/// Idle timeout of a pooled connection.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum number of idle connections per pool key.
const MAX_IDLE_PER_KEY: usize = 8;

/// Pool key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub policy: Arc<Policy>,
    /// The rule under which the address was checked.
    pub rule: Rule,
    pub origin: String,
}

impl Key {
    pub(crate) fn new(policy: &Arc<Policy>, rule: &Rule, target: &Target) -> Self {
        let origin = target.url().origin().ascii_serialization();
        Self { policy: Arc::clone(policy), rule: rule.clone(), origin }
    }
}

/// An open connection. Dropping it closes it.
pub(crate) struct Connection {
    pub sender: SendRequest<RequestBody>,
    /// Whether the address is not public.
    pub private: bool,
    pub used: bool,
    pub _driver: Task<()>,
    pub _permit: FairPermit<String>,
}

/// A connection in use.
pub(crate) struct Lease {
    pub connection: Connection,
    pub key: Key,
    pub pool: Arc<Pool>,
    /// The caller's concurrency permit, released with the response body.
    pub _permit: Arc<OwnedSemaphorePermit>,
}

pub(crate) struct Pool {
    idle: Mutex<HashMap<Key, Vec<(Instant, Connection)>>>,
    permits: FairSemaphore<String>,
}

impl Pool {
    pub(crate) fn new(connections: usize) -> Self {
        // Connections are held for long, so one component never has all of them.
        Self { idle: Mutex::default(), permits: FairSemaphore::new(connections, connections.div_ceil(2)) }
    }

    /// Takes an idle connection for this key.
    pub(crate) fn checkout(&self, key: &Key) -> Option<Connection> {
        let mut idle = self.lock();
        let connections = idle.get_mut(key)?;
        connections.retain(|(since, connection)| since.elapsed() < IDLE_TIMEOUT && !connection.sender.is_closed());
        let ready_index = connections.iter().rposition(|(_, connection)| connection.sender.is_ready());
        let connection = ready_index.map(|index| connections.remove(index).1);
        if connections.is_empty() {
            idle.remove(key);
        }
        connection
    }

    /// Acquires a permit of an installation for a new connection. If none is free, the oldest idle connection is closed.
    pub(crate) async fn acquire_permit(&self, owner: &String, until: Instant) -> Result<FairPermit<String>, Error> {
        if let Some(permit) = self.permits.try_acquire(owner) {
            return Ok(permit);
        }
        // At its own limit an installation closes one of its own.
        self.close_oldest(|key| !self.permits.is_at_limit(owner) || key.policy.owner == *owner);
        timeout_at(until, self.permits.acquire(owner)).await.map_err(|_| Error::Busy)
    }

    /// Closes expired and broken idle connections.
    pub(crate) fn evict_expired(&self) {
        self.lock().retain(|_, connections| {
            connections.retain(|(since, connection)| since.elapsed() < IDLE_TIMEOUT && !connection.sender.is_closed());
            !connections.is_empty()
        });
    }

    /// Closes the oldest idle connection with such a key.
    fn close_oldest(&self, is_such: impl Fn(&Key) -> bool) {
        let mut idle = self.lock();
        let oldest = |connections: &Vec<(Instant, Connection)>| connections.first().map(|(since, _)| *since);
        let key = idle
            .iter()
            .filter(|(key, _)| is_such(key))
            .min_by_key(|(_, connections)| oldest(connections))
            .map(|(key, _)| key.clone());
        let Some(key) = key else { return };
        if let Some(connections) = idle.get_mut(&key) {
            connections.remove(0);
            if connections.is_empty() {
                idle.remove(&key);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<(Instant, Connection)>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Returns the connection to the pool.
    pub(crate) fn return_to_pool(self) {
        let Self { connection, key, pool, .. } = self;
        let mut idle = pool.lock();
        let connections = idle.entry(key).or_default();
        if connections.len() < MAX_IDLE_PER_KEY && !connection.sender.is_closed() {
            connections.push((Instant::now(), connection));
        }
    }
}
