//! How long the log of events is kept: it goes from its oldest place on, whatever the events are about. A
//! run goes on without the events that told of its beginning, for it is carried on from its steps.

use std::time::Duration;

use moxxy_store as store;
use moxxy_types::error::Result;
use tokio::time::interval;

use crate::app::App;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: i64 = 86_400;
/// How many events one transaction removes: others come in between.
const BATCH: i64 = 500;

/// Removes what has had its time, now and each minute.
pub fn spawn_expiry_task(app: &App) {
    let (worker, shutdown) = (app.clone(), app.tasks.shutdown().clone());
    app.tasks.keep_running("retention", move || {
        let (worker, shutdown) = (worker.clone(), shutdown.clone());
        async move {
            let mut tick = interval(MINUTE);
            while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
                match shutdown.run_until_cancelled(prune(&worker)).await {
                    Some(Err(error)) => tracing::error!(?error, "old events could not be removed; trying again"),
                    Some(Ok(removed)) if removed > 0 => tracing::info!(removed, "old events were removed"),
                    _ => {}
                }
            }
        }
    });
}

async fn prune(app: &App) -> Result<i64> {
    let (days, most) = (app.config.events.keep_days, app.config.events.keep_events);
    let before = (days > 0).then(|| app.store.clock().after(-days.saturating_mul(DAY)));
    let surplus = match most {
        0 => 0,
        most => store::events::count(&mut *app.store.read().await?).await? - most,
    };
    let mut removed = 0;
    loop {
        let (before, surplus) = (before.clone(), surplus - removed);
        let prune = async move |tx: &mut store::Tx| store::events::prune(tx, before.as_deref(), surplus, BATCH).await;
        let batch = app.store.write(move |tx| Box::pin(async move { prune(tx).await })).await?;
        removed += batch;
        if batch < BATCH {
            return Ok(removed);
        }
    }
}
