//! Retention: removes old events and, if the configuration says so, old runs. A run does not need its earlier events,
//! because it resumes from its steps.

use moxxy_store::{self as store, Store, events};
use moxxy_types::{
    clock,
    error::Result,
    events::{Event, EventContext, SERVER_ACTOR},
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
                }
            }
            Ok(Effect::none(Next::At(runs.store.clock().after(RUN_PRUNE_INTERVAL_SECONDS))))
        }
    });
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
    let limit: Option<OffsetDateTime> = last.and_then(|(present, checked_at)| {
        // A jump of the clock is no time that the server ran.
        let since = (now - clock::parse(&checked_at)?).clamp(Duration::ZERO, Duration::HOUR);
        Some(clock::parse(&present)? + 24 * since)
    });
    let present = limit.map_or(now, |limit| limit.min(now));
    if now - present > Duration::DAY {
        tracing::warn!(present = clock::format(present), "the clock moved far ahead, so old data is removed slowly");
    }
    let stored = clock::format(present);
    store.write(move |tx| Box::pin(async move { store::retention::set_present(tx, &stored).await })).await?;
    Ok(present)
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
        let ended = store::retention::ended_runs(&mut db, of_chats, position, RUNS_PER_READ).await?;
        drop(db);
        // They start in this order; later ones ended later, except for long runs, which are removed with those.
        let old = ended.iter().take_while(|run| run.ended_at < before);
        let (count, all) = (old.clone().count(), ended.len());
        for run in old {
            position = run.position;
            if store::questions::any_standing_of(&mut *runs.store.read().await?, &run.id).await? {
                continue;
            }
            runs::remove_rows(&runs.store, run.id.clone()).await?;
            let run = run.clone();
            let recorded = runs.store.write(move |tx| {
                Box::pin(async move {
                    store::sessions::recount_left_out(tx, &run.session).await?;
                    if of_chats {
                        store::retention::delete_session_without_runs(tx, &run.session).await?;
                    }
                    let subject = EventContext::agent(&run.agent_name).by(SERVER_ACTOR);
                    events::record(tx, &subject, Event::RunDeleted { deleted_run_id: run.id }).await
                })
            });
            recorded.await?;
            removed += 1;
        }
        if count < all || all == 0 {
            return Ok(removed);
        }
    }
}
