//! Measures the processor time of a call: the thread's processor time while the call is polled. Waiting is not
//! counted.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// The processor time of one call. Only the thread that polls the call writes to it.
#[derive(Debug)]
pub(crate) struct Meter {
    budget_nanos: u64,
    /// Processor time up to the end of the last poll, in nanoseconds.
    used: AtomicU64,
    /// Thread clock at the start of the current poll, in nanoseconds.
    poll_start: AtomicU64,
}

/// A future whose polls are measured.
pub(crate) struct Metered<F> {
    meter: Arc<Meter>,
    future: Pin<Box<F>>,
}

impl Meter {
    pub(crate) fn new(budget: Duration) -> Arc<Self> {
        let budget_nanos = u64::try_from(budget.as_nanos()).unwrap_or(u64::MAX);
        Arc::new(Self { budget_nanos, used: AtomicU64::new(0), poll_start: AtomicU64::new(0) })
    }

    /// Whether the budget is exhausted. Call it only within a poll.
    pub(crate) fn is_exhausted(&self) -> bool {
        let now = thread_time().saturating_sub(self.poll_start.load(Relaxed));
        self.used.load(Relaxed).saturating_add(now) > self.budget_nanos
    }

    pub(crate) fn used(&self) -> Duration {
        Duration::from_nanos(self.used.load(Relaxed))
    }

    pub(crate) fn measure<F: Future>(self: &Arc<Self>, future: F) -> Metered<F> {
        Metered { meter: Arc::clone(self), future: Box::pin(future) }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let start = thread_time();
        self.meter.poll_start.store(start, Relaxed);
        let result = self.future.as_mut().poll(cx);
        self.meter.used.fetch_add(thread_time().saturating_sub(start), Relaxed);
        result
    }
}

/// Returns the processor time of the current thread, in nanoseconds.
fn thread_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}
