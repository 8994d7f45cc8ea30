//! Timeouts of a process that may be stopped or suspended. When it goes on, its timers fire at once, before it could
//! read what arrived meanwhile. A timer that fires late is extended by its lateness, once.

use std::{pin::pin, time::Duration};

use tokio::time::{self, Instant, error::Elapsed};

/// Lateness that a busy machine explains.
const TOLERANCE: Duration = Duration::from_secs(1);

/// Returns how late a timer fires now, if more than a busy machine explains.
fn lateness(deadline: Instant) -> Option<Duration> {
    Some(deadline.elapsed()).filter(|late| *late > TOLERANCE)
}

/// Sleeps for `duration` of the time in which the process runs.
pub async fn sleep(duration: Duration) {
    let deadline = Instant::now() + duration;
    time::sleep_until(deadline).await;
    if let Some(late) = lateness(deadline) {
        time::sleep(late).await;
    }
}

/// Like [`tokio::time::timeout`].
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    timeout_at(Instant::now() + limit, future).await
}

/// Like [`tokio::time::timeout_at`].
pub async fn timeout_at<F: Future>(deadline: Instant, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let ended = time::timeout_at(deadline, &mut future).await;
    match lateness(deadline) {
        Some(late) if ended.is_err() => time::timeout(late, future).await,
        _ => ended,
    }
}
