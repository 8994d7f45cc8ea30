//! Retention: removes data that is too old or too much. A run does not need its earlier events, because it resumes from its
//! steps.

mod events;
mod idempotency;
mod overview;
mod runs;

use moxxy_store::{self as store, Store};
use moxxy_types::{
    clock,
    error::Result,
    jobs::{EVENT_RETENTION, IDEMPOTENCY_RETENTION, RUN_RETENTION},
};
use time::{Duration, OffsetDateTime};

use crate::{
    background::{Background, Effect, Next, Recurrence},
    config::Config,
    services::{events::Events, runs::Runs},
};

pub use overview::overview;

/// Maximum number of free pages that one transaction returns to the file system.
const PAGES_PER_TRANSACTION: u32 = 1000;
/// Time after which the present is stored again. An idle server writes seldom.
const MAX_UNSTORED: Duration = Duration::minutes(30);

/// Registers the jobs, each at the start and then repeatedly.
pub fn register_jobs(config: &Config, log: &Events, all_runs: &Runs, background: &Background) {
    let (events, limits) = (log.clone(), config.events.clone());
    register(background, &log.store, EVENT_RETENTION, 60, move || {
        let (events, limits) = (events.clone(), limits.clone());
        async move { events::prune(&events.store, &limits).await }
    });
    let runs = all_runs.clone();
    register(background, &log.store, RUN_RETENTION, 3600, move || {
        let runs = runs.clone();
        async move { runs::prune(&runs).await }
    });
    let store = log.store.clone();
    register(background, &log.store, IDEMPOTENCY_RETENTION, 3600, move || {
        let store = store.clone();
        async move { idempotency::prune(&store).await }
    });
}

/// Registers a job that removes data, and returns the number of things that it removed.
fn register<F: Future<Output = Result<i64>> + Send + 'static>(
    background: &Background,
    store: &Store,
    kind: &'static str,
    interval_seconds: i64,
    prune: impl Fn() -> F + Send + Sync + 'static,
) {
    let store = store.clone();
    background.register(kind, Recurrence::Repeated, move |_| {
        let (store, pruning) = (store.clone(), prune());
        async move {
            let removed = pruning.await?;
            if removed > 0 {
                tracing::info!(kind, removed, "old data was removed");
                release_pages(&store).await?;
            }
            Ok(Effect::none(Next::At(store.clock().after(interval_seconds))))
        }
    });
}

/// Returns free pages to the file system, in pieces.
async fn release_pages(store: &Store) -> Result<()> {
    let release = || store.write(|tx| Box::pin(store::retention::release_pages(tx, PAGES_PER_TRANSACTION)));
    while release().await? {}
    Ok(())
}

/// Returns the time before which rows are removed: `days` before the present, or never if it is 0.
pub(super) async fn cutoff(store: &Store, days: i64) -> Result<Option<String>> {
    if days == 0 {
        return Ok(None);
    }
    Ok(Some(clock::format(present(store).await? - Duration::days(days))))
}

/// Returns the present, as far as retention trusts the clock. It moves ahead by at most a day for each hour since the last
/// time, so that little is lost before somebody notices that the clock jumped ahead.
async fn present(store: &Store) -> Result<OffsetDateTime> {
    let now = store.clock().now();
    let last = store::retention::present(&mut *store.read().await?).await?;
    let last = last.and_then(|(present, checked_at)| Some((clock::parse(&present)?, clock::parse(&checked_at)?)));
    let Some((last, checked_at)) = last else {
        set_present(store, now).await?;
        return Ok(now);
    };
    // A jump of the clock is no time that the server ran.
    let limit = last + 24 * (now - checked_at).clamp(Duration::ZERO, Duration::HOUR);
    let is_ahead = now > limit;
    if now - limit > Duration::DAY {
        tracing::warn!(present = clock::format(limit), "the clock moved far ahead, so old data is removed slowly");
    }
    let present = limit.min(now);
    if is_ahead || now - checked_at > MAX_UNSTORED {
        // A clock that was set back for a while must not hold up retention afterwards.
        set_present(store, last.max(present)).await?;
    }
    Ok(present)
}

async fn set_present(store: &Store, present: OffsetDateTime) -> Result<()> {
    let present = clock::format(present);
    store.write(move |tx| Box::pin(async move { store::retention::set_present(tx, &present).await })).await
}
