//! What at most one does at a time.

use std::{
    collections::HashSet,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The names of what is being done.
#[derive(Debug)]
pub struct InFlight<K>(Arc<Mutex<HashSet<K>>>);

/// It is being done, until this is dropped.
#[derive(Debug)]
pub struct InFlightGuard<K: Hash + Eq> {
    all: InFlight<K>,
    name: K,
}

impl<K: Hash + Eq + Clone> InFlight<K> {
    /// `None` if another does it already.
    pub fn try_begin(&self, name: &K) -> Option<InFlightGuard<K>> {
        self.names().insert(name.clone()).then(|| InFlightGuard { all: self.clone(), name: name.clone() })
    }
}

impl<K> InFlight<K> {
    fn names(&self) -> MutexGuard<'_, HashSet<K>> {
        // Each use leaves the set whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq> Drop for InFlightGuard<K> {
    fn drop(&mut self) {
        self.all.names().remove(&self.name);
    }
}

// Whatever a name is made of.
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
