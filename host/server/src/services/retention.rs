//! Retention: removes old events and, if the configuration says so, old runs. A run does not need its earlier events,
//! because it resumes from its steps.

use moxxy_store::{self as store, Store};
use moxxy_types::{
    clock,
    error::Result,
    events::{EventContext, SERVER_ACTOR},
    jobs::{EVENT_RETENTION, RUN_RETENTION},
};
use time::{Duration, OffsetDateTime};

use crate::{
    background::{Background, Effect, Next, Recurrence},
    config,
    services::{
        events::Events,
        runs::{self, Runs},
    },
};

const PRUNE_INTERVAL_SECONDS: i64 = 60;
const RUN_PRUNE_INTERVAL_SECONDS: i64 = 3600;
/// Maximum number of events that one transaction removes, so that others can run in between.
const EVENTS_PER_TRANSACTION: i64 = 500;
/// Maximum number of free pages that one transaction returns to the file system.
const PAGES_PER_TRANSACTION: u32 = 1000;
/// Time after which the present is stored again. An idle server writes seldom.
const MAX_UNSTORED: Duration = Duration::minutes(30);
/// Number of runs that are read at once.
const RUNS_PER_READ: i64 = 100;

/// Registers the job that removes expired events, at the start and every minute.
pub fn register_jobs(events: &Events, limits: &config::Events, background: &Background) {
    let (events, limits) = (events.clone(), limits.clone());
    background.register(EVENT_RETENTION, Recurrence::Repeated, move |_| {
        let (events, limits) = (events.clone(), limits.clone());
        async move {
            let removed = prune(&events, &limits).await?;
            if removed > 0 {
                tracing::info!(removed, "old events were removed");
                release_pages(&events.store).await?;
            }
            Ok(Effect::none(Next::At(events.store.clock().after(PRUNE_INTERVAL_SECONDS))))
        }
    });
}

/// Registers the job that removes runs after their time, at the start and every hour.
pub fn register_run_jobs(runs: &Runs, background: &Background) {
    let runs = runs.clone();
    background.register(RUN_RETENTION, Recurrence::Repeated, move |_| {
        let runs = runs.clone();
        async move {
            let limits = &runs.config.runs;
            for (of_chats, days) in [(true, limits.keep_chat_days), (false, limits.keep_days)] {
                let removed = prune_runs(&runs, of_chats, days).await?;
                if removed > 0 {
                    tracing::info!(removed, of_chats, "old runs were removed");
                    release_pages(&runs.store).await?;
                }
            }
            Ok(Effect::none(Next::At(runs.store.clock().after(RUN_PRUNE_INTERVAL_SECONDS))))
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

async fn prune(events: &Events, limits: &config::Events) -> Result<i64> {
    let before = cutoff(&events.store, limits.keep_days).await?;
    let surplus = match limits.keep_events {
        0 => 0,
        most => store::events::surplus(&mut *events.store.read().await?, most).await?,
    };
    let mut removed = 0;
    loop {
        let (before, surplus) = (before.clone(), surplus - removed);
        let prune = async move |tx: &mut store::Tx| {
            store::events::prune(tx, before.as_deref(), surplus, EVENTS_PER_TRANSACTION).await
        };
        let batch = events.store.write(move |tx| Box::pin(async move { prune(tx).await })).await?;
        removed += batch;
        if batch < EVENTS_PER_TRANSACTION {
            return Ok(removed);
        }
    }
}

/// Removes runs that ended more than `days` ago, with their messages and steps: those of chat completions, or the others.
/// A run in which a decision was made that still holds for other runs stays.
async fn prune_runs(runs: &Runs, of_chats: bool, days: i64) -> Result<usize> {
    let Some(before) = cutoff(&runs.store, days).await? else { return Ok(0) };
    let (mut position, mut removed) = (0, 0);
    loop {
        let mut db = runs.store.read().await?;
        let old = store::retention::ended_runs(&mut db, of_chats, &before, position, RUNS_PER_READ).await?;
        drop(db);
        let Some(last) = old.last() else { return Ok(removed) };
        position = last.position;
        for run in old {
            if runs.tasks.shutdown().is_cancelled() {
                return Ok(removed);
            }
            if store::questions::any_standing_of(&mut *runs.store.read().await?, &run.id).await? {
                continue;
            }
            let subject = EventContext::agent(&run.agent_name).by(SERVER_ACTOR);
            runs::remove(&runs.store, (run.id, run.session), subject, of_chats).await?;
            removed += 1;
        }
    }
}
