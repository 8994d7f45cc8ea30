//! What the server keeps, and what it would remove now: with the limits that are configured, or with others.

use moxxy_store as store;
use moxxy_types::{
    error::{Error, Result},
    jobs::{AUDIT_RETENTION, EVENT_RETENTION, IDEMPOTENCY_RETENTION, RUN_RETENTION},
    retention::{Kept, Limits, Retention},
};

use crate::{
    config::{self, Config},
    services::{
        retention::{cutoff, events, idempotency, runs::Surplus},
        runs::Runs,
    },
};

/// Maximum number of things of one kind that are counted.
const MAX_COUNTED: i64 = 10_000;

/// Returns the limits of a kind of data, or of every kind, its size, and how much would be removed now. `other`: limits
/// to try in place of those that are configured.
pub async fn overview(runs: &Runs, only: Option<Kept>, other: Limits) -> Result<Vec<Retention>> {
    if only.is_none() && other != Limits::default() {
        return Err(Error::invalid_parameter("id", "limits are tried for one kind of data, so say for which"));
    }
    let mut all = Vec::new();
    for kept in Kept::ALL.into_iter().filter(|kept| only.is_none_or(|only| only == *kept)) {
        let configured = configured(&runs.config, kept);
        let limits = Limits {
            keep_days: other.keep_days.or(configured.keep_days),
            keep_count: other.keep_count.or(configured.keep_count),
            keep_bytes: other.keep_bytes.or(configured.keep_bytes),
        };
        if (other.keep_count.is_some() && configured.keep_count.is_none())
            || (other.keep_bytes.is_some() && configured.keep_bytes.is_none())
            || kept == Kept::IdempotencyKeys && other != Limits::default()
        {
            return Err(Error::invalid_parameter("id", "this kind of data has no such limit"));
        }
        all.push(show(runs, kept, limits).await?);
    }
    Ok(all)
}

/// Returns the limits of a kind of data: 0 if it is not limited so, and `None` if it cannot be.
fn configured(config: &Config, kept: Kept) -> Limits {
    let limits = |days, count, bytes| Limits { keep_days: Some(days), keep_count: count, keep_bytes: bytes };
    let Config { events, runs, audit, .. } = config;
    match kept {
        Kept::Events => limits(events.keep_days, Some(events.keep_events), Some(events.keep_bytes)),
        Kept::Runs => limits(runs.keep_days, None, Some(runs.keep_bytes)),
        Kept::ChatRuns => limits(runs.keep_chat_days, None, Some(runs.keep_chat_bytes)),
        Kept::Audit => limits(audit.keep_days, None, None),
        Kept::IdempotencyKeys => limits(store::idempotency::RETENTION_DAYS, None, Some(idempotency::MAX_STORED_BYTES)),
    }
}

async fn show(runs: &Runs, kept: Kept, limits: Limits) -> Result<Retention> {
    let store = &runs.store;
    let [days, count, bytes] = [limits.keep_days, limits.keep_count, limits.keep_bytes].map(Option::unwrap_or_default);
    let mut db = store.read().await?;
    let (job, size, removable) = match kept {
        Kept::Events => {
            let limits = config::Events { keep_days: days, keep_events: count, keep_bytes: bytes };
            let surplus = events::surplus(store, &limits).await?;
            let removable = store::events::removable(&mut db, &surplus, MAX_COUNTED).await?.0;
            (EVENT_RETENTION, Some(store::events::size(&mut db).await?.0), removable)
        }
        Kept::Runs | Kept::ChatRuns => {
            let of_chats = kept == Kept::ChatRuns;
            let removable = Surplus::new(store, of_chats, days, bytes).await?.take(store, MAX_COUNTED).await?.len();
            let size = store::retention::size_of_ended_runs(&mut db, of_chats).await?;
            (RUN_RETENTION, Some(size), i64::try_from(removable).unwrap_or(MAX_COUNTED))
        }
        Kept::Audit => {
            let removable = match cutoff(store, days).await? {
                Some(before) => store::audit::removable(&mut db, &before, MAX_COUNTED).await?,
                None => 0,
            };
            (AUDIT_RETENTION, None, removable)
        }
        Kept::IdempotencyKeys => {
            let removable = store::idempotency::removable(&mut db, store.clock(), MAX_COUNTED).await?;
            (IDEMPOTENCY_RETENTION, Some(store::idempotency::stored_bytes(&mut db).await?), removable)
        }
    };
    let next_at = store::jobs::next_due(&mut db, &[job]).await?;
    let set = |limit: Option<i64>| limit.filter(|limit| *limit != 0);
    let limits = Limits {
        keep_days: set(limits.keep_days),
        keep_count: set(limits.keep_count),
        keep_bytes: set(limits.keep_bytes),
    };
    Ok(Retention { kept, limits, bytes: size, removable, next_at })
}
