//! Removal of events.

use moxxy_store::{self as store, Store, events::Surplus};
use moxxy_types::error::Result;

use crate::{config, services::retention::cutoff};

/// Maximum number of events that one transaction removes, so that others can run in between.
const EVENTS_PER_TRANSACTION: i64 = 500;
/// Maximum number of events that one transaction measures.
const EVENTS_PER_MEASUREMENT: i64 = 5000;

/// Removes events. Returns their number.
pub(super) async fn prune(store: &Store, limits: &config::Events) -> Result<i64> {
    while store::events::size(&mut *store.read().await?).await?.1
        && store.write(|tx| Box::pin(store::events::measure(tx, EVENTS_PER_MEASUREMENT))).await?
    {}
    let mut surplus = surplus(store, limits).await?;
    let mut removed = 0;
    loop {
        let next = surplus.clone();
        let prune = async move |tx: &mut store::Tx| store::events::prune(tx, &next, EVENTS_PER_TRANSACTION).await;
        let (count, bytes) = store.write(move |tx| Box::pin(async move { prune(tx).await })).await?;
        removed += count;
        surplus.count -= count;
        surplus.bytes -= bytes;
        if count < EVENTS_PER_TRANSACTION {
            return Ok(removed);
        }
    }
}

/// Returns what of the log is too old or too much.
pub(super) async fn surplus(store: &Store, limits: &config::Events) -> Result<Surplus> {
    let before = cutoff(store, limits.keep_days).await?;
    let mut db = store.read().await?;
    let count = match limits.keep_events {
        0 => 0,
        most => store::events::surplus(&mut db, most).await?,
    };
    let bytes = match limits.keep_bytes {
        0 => 0,
        most => store::events::size(&mut db).await?.0 - most,
    };
    Ok(Surplus { before, count, bytes })
}
