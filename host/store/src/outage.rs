//! How long nothing could be stored: time that no run is to be charged with.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// All the outages of a server.
#[derive(Debug, Clone, Default)]
pub struct StorageOutage(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    over: Duration,
    since: Option<Instant>,
}

impl StorageOutage {
    /// What was to be stored just now was, or not.
    pub fn note(&self, stored: bool) {
        let mut state = self.state();
        match (stored, state.since) {
            (true, Some(since)) => {
                state.over += since.elapsed();
                state.since = None;
            }
            (false, None) => state.since = Some(Instant::now()),
            _ => {}
        }
    }

    /// How long they lasted until now.
    pub fn total(&self) -> Duration {
        let state = self.state();
        state.over + state.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each use leaves the state whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
