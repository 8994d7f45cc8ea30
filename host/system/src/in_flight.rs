//! Mutual exclusion by name: at most one operation per name runs at a time.

use std::{
    collections::HashSet,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Names of the running operations.
#[derive(Debug)]
pub struct InFlight<K>(Arc<Mutex<HashSet<K>>>);

/// Marks an operation as running until it is dropped.
#[derive(Debug)]
pub struct InFlightGuard<K: Hash + Eq> {
    in_flight: InFlight<K>,
    name: K,
}

impl<K: Hash + Eq + Clone> InFlight<K> {
    /// Marks an operation as running. Returns `None` if it is already running.
    pub fn try_begin(&self, name: &K) -> Option<InFlightGuard<K>> {
        self.names().insert(name.clone()).then(|| InFlightGuard { in_flight: self.clone(), name: name.clone() })
    }
}

impl<K> InFlight<K> {
    fn names(&self) -> MutexGuard<'_, HashSet<K>> {
        // Every use leaves the set consistent, so poisoning is ignored.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq> Drop for InFlightGuard<K> {
    fn drop(&mut self) {
        self.in_flight.names().remove(&self.name);
    }
}

// Not derived, because a derive would require the trait of `K`.
impl<K> Default for InFlight<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K> Clone for InFlight<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
