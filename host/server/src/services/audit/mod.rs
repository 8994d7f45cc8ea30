//! The audit log: actions of principals, and uses of secrets and denials of components. Each entry is written in
//! the transaction of its change, and chained to the previous entry ([`moxxy_store::audit`]).

mod keys;
mod verify;

use moxxy_store as store;
use moxxy_types::{
    audit::{Entry, Filter, Head},
    clock,
    error::{Error, Result},
    jobs::AUDIT_RETENTION,
    paging::{Page, PageRequest},
};

pub use keys::{begin, renew};
pub use verify::{Report, verify, verify_in};

use crate::{
    background::{Background, Effect, Next, Recurrence},
    services::{access::Access, retention},
};

const PRUNE_INTERVAL_SECONDS: i64 = 3600;

/// Returns a page of entries, newest first.
pub async fn list(access: &Access, filter: &Filter, page: &PageRequest) -> Result<Page<Entry>> {
    store::audit::page(&mut *access.store.read().await?, filter, page).await
}

/// Returns the position and the hash of the last entry.
pub async fn head(access: &Access) -> Result<Head> {
    let ends = store::audit::ends(&mut *access.store.read().await?).await?;
    Ok(Head::from(&ends.unwrap_or_default().0))
}

/// Parses a time in a filter.
pub fn time(field: &str, text: &str) -> Result<String> {
    let wrong = || Error::invalid_parameter(field, "it is a time such as 2030-01-02T03:04:05Z");
    clock::parse(text).map(clock::format).ok_or_else(wrong)
}

/// Prunes the audit log and logs its head, now and every hour. Fails if the first time fails.
pub async fn register_jobs(access: &Access, keep_days: i64, background: &Background) -> Result<()> {
    prune_and_log_head(access, keep_days).await?;
    let access = access.clone();
    background.register(AUDIT_RETENTION, Recurrence::Repeated, move |_| {
        let access = access.clone();
        async move {
            prune_and_log_head(&access, keep_days).await?;
            Ok(Effect::none(Next::At(access.store.clock().after(PRUNE_INTERVAL_SECONDS))))
        }
    });
    Ok(())
}

async fn prune_and_log_head(access: &Access, keep_days: i64) -> Result<()> {
    prune(access, keep_days).await?;
    let Head { position, hash } = head(access).await?;
    tracing::info!("the audit log's head is {position}:{hash}");
    Ok(())
}

/// Removes entries that are older than `days`, or none if it is 0. The hash of the last removed entry stays, so
/// that the rest can be verified.
async fn prune(access: &Access, days: i64) -> Result<()> {
    let Some(before) = retention::cutoff(&access.store, days).await? else { return Ok(()) };
    let keys = keys::all(&access.master, &mut *access.store.read().await?).await?;
    access.store.write(move |tx| Box::pin(async move { store::audit::prune(tx, &before, keys).await })).await
}
