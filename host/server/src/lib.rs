//! The REST API and the services that implement it.
//!
//! In reading order: [`run`] runs the server, [`http`] contains the routes (one file per noun), [`services`] the
//! business logic, and [`app`] wires the services together. `http` calls `services`, which calls the crates below.

pub mod app;
pub mod background;
pub mod config;
pub mod http;
pub mod services;

use std::{sync::Arc, time::Duration};

use moxxy_types::error::{Error, Result};
use tokio::{net::TcpListener, time::timeout};

use crate::{app::App, config::Config};

/// Time limit for aborted tasks to release their resources.
const ABORT_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves on `listener` until the shutdown of the app's tasks. Then stops accepting connections, ends streams, lets
/// requests and runs reach a step boundary, and aborts the rest after the grace period. Returns an error if a
/// background task died.
pub async fn run(app: App, config: Arc<Config>, listener: TcpListener) -> Result<()> {
    let grace = Duration::from_secs(config.server.shutdown_grace);
    let tasks = app.background.tasks().clone();
    // Held until the last task has ended.
    let _lock = app.background.lock();
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
            tracing::warn!("requests or runs did not end within the grace period; runs resume at the next start");
            tasks.abort_all();
            // Tasks that do not end in time are dropped with the process.
            drop(timeout(ABORT_TIMEOUT, tasks.finished()).await);
        }
    }
    tasks.fatal_failure()
}
