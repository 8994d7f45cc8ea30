//! Retention of the event log: the oldest events are removed first, whatever they are about. A run does not need its
//! earlier events, because it resumes from its steps.

use moxxy_store as store;
use moxxy_types::{error::Result, jobs::EVENT_RETENTION};

use crate::{
    background::{Background, Effect, Next, Recurrence},
    config,
    services::events::Events,
};

const PRUNE_INTERVAL_SECONDS: i64 = 60;
/// One day, in seconds.
const SECONDS_PER_DAY: i64 = 86_400;
/// Maximum number of events that one transaction removes, so that others can run in between.
const EVENTS_PER_TRANSACTION: i64 = 500;

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

async fn prune(events: &Events, limits: &config::Events) -> Result<i64> {
    let (days, most) = (limits.keep_days, limits.keep_events);
    let before = (days > 0).then(|| events.store.clock().after(-days.saturating_mul(SECONDS_PER_DAY)));
    let surplus = match most {
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
