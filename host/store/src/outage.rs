//! Total duration of storage outages. This time does not count towards the time limits of runs.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Accumulated storage outages of the server.
#[derive(Debug, Clone, Default)]
pub(crate) struct StorageOutage(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    past_total: Duration,
    started: Option<Instant>,
}

impl StorageOutage {
    /// Records whether the last write was stored.
    pub(crate) fn record_write(&self, stored: bool) {
        let mut state = self.state();
        match (stored, state.started) {
            (true, Some(started)) => {
                state.past_total += started.elapsed();
                state.started = None;
            }
            (false, None) => state.started = Some(Instant::now()),
            _ => {}
        }
    }

    /// Returns the total duration of all outages, including a current one.
    pub(crate) fn total(&self) -> Duration {
        let state = self.state();
        state.past_total + state.started.map_or(Duration::ZERO, |started| started.elapsed())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No update panics halfway, so the state is valid even if the lock is poisoned.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
