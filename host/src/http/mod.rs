//! The REST API: the only module that names axum. Routes here, one line each; one file for each
//! noun; what is common to all of them in `middleware`, `auth`, `extract` and `answer`.

mod agents;
mod answer;
mod auth;
mod events;
mod extract;
mod health;
mod history;
mod middleware;
mod owner;
mod providers;
mod runs;
mod skills;

pub use owner::is_known as owners_are_known;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    error::{Error, Result},
};

/// Serves until the shutdown, then lets open requests end.
pub async fn serve(app: App, listener: TcpListener, shutdown: CancellationToken) -> Result<()> {
    let service = router(app).into_make_service_with_connect_info::<auth::Peer>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(shutdown.cancelled_owned());
    serving.await.map_err(Error::internal)
}

fn router(app: App) -> Router {
    let uploads = DefaultBodyLimit::max(extract::upload_limit(&app.config.server));
    let routes = Router::new()
        .route("/v1/health", get(health::show))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::show))
        .route("/v1/agents", get(agents::list).post(agents::create))
        .route("/v1/agents/{name}", get(agents::show).patch(agents::update).delete(agents::delete))
        .route("/v1/agents/{name}/stop", post(agents::stop))
        .route("/v1/agents/{name}/reset", post(agents::reset))
        .route("/v1/agents/{name}/runs", get(runs::list).post(runs::start))
        .route("/v1/agents/{name}/runs/{run_id}", get(runs::show))
        .route("/v1/agents/{name}/runs/{run_id}/stop", post(runs::stop))
        .route("/v1/agents/{name}/history", get(history::list))
        .route("/v1/agents/{name}/sessions", get(history::sessions))
        .route("/v1/agents/{name}/skills", get(skills::list))
        .route("/v1/agents/{name}/skills/install", post(skills::install).layer(uploads))
        .route(
            "/v1/agents/{name}/skills/{skill_id}",
            get(skills::show).put(skills::upgrade).delete(skills::delete).layer(uploads),
        )
        .route("/v1/agents/{name}/skills/{skill_id}/rollback", post(skills::rollback))
        .route("/v1/agents/{name}/skills/{skill_id}/invoke", post(skills::invoke))
        .route("/v1/providers", get(providers::list).post(providers::install).layer(uploads))
        .route("/v1/providers/{id}", get(providers::show).patch(providers::update).delete(providers::delete))
        .route("/v1/providers/{id}/models", get(providers::models))
        .route("/v1/events/stream", get(events::stream))
        .fallback(answer::no_route)
        .layer(DefaultBodyLimit::max(app.config.server.body_limit))
        .with_state(app);
    middleware::around(routes)
}
