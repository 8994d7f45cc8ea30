//! Total duration of storage outages. This time does not count towards the time limits of runs.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Accumulated storage outages of the server.
#[derive(Debug, Clone, Default)]
pub struct StorageOutage(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    over: Duration,
    since: Option<Instant>,
}

impl StorageOutage {
    /// Records whether the last write was stored.
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

    /// Returns the total duration of all outages, including a current one.
    pub fn total(&self) -> Duration {
        let state = self.state();
        state.over + state.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No update panics halfway, so the state is valid even if the lock is poisoned.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
