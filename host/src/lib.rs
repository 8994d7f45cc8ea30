//! Moxxy: a self-hosted server for AI agents, made of sandboxed WebAssembly components.
//!
//! In reading order: [`run`] serves; [`http`] is the REST API, one file for each noun; [`domain`]
//! the rules behind it; [`plugins`] runs components; [`store`] is the database; [`events`] tells
//! what happened. Data flows one way: `http → domain → {store, plugins} → events`.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod digest;
pub mod domain;
pub mod error;
pub mod events;
pub mod http;
pub mod ids;
pub mod plugins;
pub mod store;
pub mod tasks;
pub mod telemetry;

use std::time::Duration;

use tokio::{net::TcpListener, time::timeout};

use crate::{app::App, error::Result};

/// Serves on `listener` until the shutdown that belongs to the app's tasks: stops accepting, ends
/// streams, lets requests and runs come to a step boundary, and returns after the grace period at
/// the latest. An error means that a background task died.
pub async fn run(app: App, listener: TcpListener) -> Result<()> {
    let grace = Duration::from_secs(app.config.server.shutdown_grace);
    let tasks = app.tasks.clone();
    let serving = http::serve(app, listener, tasks.shutdown().clone());
    let stopped = async {
        tasks.shutdown().cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        served = serving => served?,
        () = stopped => tracing::warn!("requests were still running after the grace period"),
    }
    if timeout(grace, tasks.finished()).await.is_err() {
        tracing::warn!("runs were still going after the grace period; they go on at the next start");
        tasks.cut_off();
        // What is left is dropped with the process.
        drop(timeout(grace, tasks.finished()).await);
    }
    tasks.obituary()
}
