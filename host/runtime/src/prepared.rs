//! A component prepared at installation: loaded, linked and checked. A call only creates an instance.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use moxxy_types::{components::Description, events::Usage};

use super::{exports::Exports, limits::Limits, schemas::ToolSchemas};

/// A component that can be called.
pub struct Prepared {
    pub description: Arc<Description>,
    pub(crate) exports: Exports,
    pub limits: Limits,
    pub schemas: Arc<ToolSchemas>,
    /// Moving average of the processor time per call, in microseconds.
    average_micros: AtomicU64,
}

/// Processor time, in microseconds, below which a call is not worth a change of threads.
const SHORT_CALL_MICROS: u64 = 200;

impl Prepared {
    pub(crate) fn new(description: Arc<Description>, exports: Exports, limits: Limits, schemas: ToolSchemas) -> Self {
        // Not short-running until observed.
        Self {
            description,
            exports,
            limits,
            schemas: Arc::new(schemas),
            average_micros: AtomicU64::new(2 * SHORT_CALL_MICROS),
        }
    }

    /// Whether a call is likely to end quickly.
    pub fn is_short_running(&self) -> bool {
        self.average_micros.load(Relaxed) < SHORT_CALL_MICROS
    }

    /// Updates the average with the usage of a call. Losing a concurrent update does no harm.
    pub fn observe(&self, usage: Usage) {
        let average = (self.average_micros.load(Relaxed).saturating_mul(7)).saturating_add(usage.cpu_us) / 8;
        self.average_micros.store(average, Relaxed);
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("digest", &self.description.digest).finish_non_exhaustive()
    }
}
