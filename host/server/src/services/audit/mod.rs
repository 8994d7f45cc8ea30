//! The audit log: who did what, and what components did with secrets or were refused. Each entry is
//! written with the change that it tells of, and chained to the one before ([`moxxy_store::audit`]).

mod keys;
mod verify;

use moxxy_store as store;
use moxxy_types::{
    audit::Head,
    clock,
    error::{Error, Result},
};
use std::time::Duration;
use tokio::time::{Instant, interval_at};

pub use keys::{begin, renew};
pub use verify::{Report, verify, verify_in};

use crate::app::App;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: i64 = 86_400;

pub async fn head(app: &App) -> Result<Head> {
    let ends = store::audit::ends(&mut *app.store.read().await?).await?;
    Ok(Head::from(&ends.unwrap_or_default().0))
}

/// Reads a time of a filter.
pub fn time(field: &str, text: &str) -> Result<String> {
    let wrong = || Error::invalid_field(field, "it is a time such as 2030-01-02T03:04:05Z");
    clock::parse(text).map(clock::format).ok_or_else(wrong)
}

/// Tells the head in the log now and each hour, and removes what has had its time.
pub async fn spawn_expiry_task(app: &App) -> Result<()> {
    tend(app).await?;
    let (worker, shutdown) = (app.clone(), app.tasks.shutdown().clone());
    app.tasks.keep_running("audit", move || {
        let (worker, shutdown) = (worker.clone(), shutdown.clone());
        async move {
            let mut tick = interval_at(Instant::now() + HOUR, HOUR);
            while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
                if let Err(error) = tend(&worker).await {
                    tracing::error!(?error, "the audit log could not be tended");
                }
            }
        }
    });
    Ok(())
}

async fn tend(app: &App) -> Result<()> {
    prune(app).await?;
    let Head { position, hash } = head(app).await?;
    tracing::info!("the audit log's head is {position}:{hash}");
    Ok(())
}

/// Removes entries that are older than the operator wants them kept. The hash of the last one stays, from
/// which the rest can be verified.
async fn prune(app: &App) -> Result<()> {
    let days = app.config.audit.keep_days;
    if days == 0 {
        return Ok(());
    }
    let before = app.store.clock().after(-days.saturating_mul(DAY));
    let keys = keys::all(&app.master, &mut *app.store.read().await?).await?;
    app.store.write(move |tx| Box::pin(async move { store::audit::prune(tx, &before, keys).await })).await
}
