//! The REST API and the rules behind it.
//!
//! In reading order: [`run`] serves; [`http`] contains the routes, one file per noun; [`services`] the rules; [`app`]
//! wires the handles together. `http` calls `services`, which calls the crates below.

pub mod app;
pub mod background;
pub mod config;
pub mod http;
pub mod services;

use std::{sync::Arc, time::Duration};

use moxxy_types::error::{Error, Result};
use tokio::{net::TcpListener, time::timeout};

use crate::{app::App, config::Config};

/// For tasks that were cut off, to let go of what they hold.
const CUT_OFF: Duration = Duration::from_secs(1);

/// Serves on `listener` until the shutdown that belongs to the app's tasks: stops accepting, ends
/// streams, lets requests and runs come to a step boundary, and cuts off what is left after the
/// grace period. An error means that a background task died.
pub async fn run(app: App, config: Arc<Config>, listener: TcpListener) -> Result<()> {
    let grace = Duration::from_secs(config.server.shutdown_grace);
    let tasks = app.background.tasks().clone();
    app.components.refuse_own_address(listener.local_addr().map_err(Error::internal)?);
    let serving = http::serve(app, config, listener);
    let late = async {
        tasks.shutdown().cancelled().await;
        tokio::time::sleep(grace).await;
    };
    let ended = async {
        serving.await?;
        tasks.finished().await;
        Ok::<_, Error>(())
    };
    tokio::select! {
        ended = ended => ended?,
        () = late => {
            tracing::warn!("requests or runs were still going after the grace period; runs go on at the next start");
            tasks.abort_all();
            // What cannot end by itself is dropped with the process.
            drop(timeout(CUT_OFF, tasks.finished()).await);
        }
    }
    tasks.fatal_failure()
}
