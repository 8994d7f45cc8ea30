//! `/v1/health`, `/livez` and `/readyz`.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::app::App;

/// State of the server.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Health {
    /// `ok`, `failing`, or `restored`: the server waits for `moxxy restore --activate`, and executes no run.
    pub status: &'static str,
    /// Version of the server.
    pub version: &'static str,
    /// `ok`, `unreachable`, `damaged`: a query has read a damaged page, or `missing`: the file was removed or replaced.
    pub database: &'static str,
    /// Number of installed components; `null` if the database is unreachable.
    pub components: Option<i64>,
}

/// Returns 200 if the server can work, 503 if the database is unreachable, damaged or missing.
pub(super) async fn show(State(app): State<App>) -> Health {
    let (database, components) = app.components.database_health().await;
    let status = match database {
        "ok" if app.runs.activation().is_pending() => "restored",
        "ok" => "ok",
        _ => "failing",
    };
    Health { status, version: env!("CARGO_PKG_VERSION"), database, components }
}

/// Returns 200 whenever the process responds.
pub(super) async fn live() -> Live {
    Live
}

#[derive(Debug)]
pub(super) struct Live;

impl IntoResponse for Health {
    fn into_response(self) -> Response {
        let status = if self.database == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(self)).into_response()
    }
}

impl IntoResponse for Live {
    fn into_response(self) -> Response {
        "ok".into_response()
    }
}
