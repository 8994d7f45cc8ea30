//! Counts who is present, by what they are present for.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Number of those present for each key.
#[derive(Debug)]
pub struct Presence<K>(Arc<Mutex<HashMap<K, usize>>>);

impl<K: Eq + Hash + Clone> Presence<K> {
    pub fn enter(&self, key: &K) {
        *self.counts().entry(key.clone()).or_default() += 1;
    }

    pub fn leave(&self, key: &K) {
        let mut counts = self.counts();
        match counts.get_mut(key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.remove(key)),
        }
    }

    pub fn is_empty(&self, key: &K) -> bool {
        !self.counts().contains_key(key)
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        // Every use leaves the counts consistent, so poisoning is ignored.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Clone for Presence<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> Default for Presence<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}
