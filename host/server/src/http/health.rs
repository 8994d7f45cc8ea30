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

/// How the server is.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Health {
    /// `ok`, `failing`, or `restored`: it waits for `moxxy restore --activate`, and carries out no run.
    pub status: &'static str,
    /// The server's.
    pub version: &'static str,
    /// `ok` or `unreachable`.
    pub database: &'static str,
    /// How many components are installed.
    pub components: Option<i64>,
}

/// Returns 200 if the server can work, 503 if the database is unreachable.
pub(super) async fn show(State(app): State<App>) -> Health {
    let components = app.components.count().await;
    let (status, database) = match components {
        Err(_) => ("failing", "unreachable"),
        Ok(_) if app.runs.activation().is_pending() => ("restored", "ok"),
        Ok(_) => ("ok", "ok"),
    };
    Health { status, version: env!("CARGO_PKG_VERSION"), database, components: components.ok() }
}

/// Returns 200 whenever the process responds.
pub(super) async fn live() -> Live {
    Live
}

#[derive(Debug)]
pub(super) struct Live;

impl IntoResponse for Health {
    fn into_response(self) -> Response {
        let status = if self.components.is_some() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(self)).into_response()
    }
}

impl IntoResponse for Live {
    fn into_response(self) -> Response {
        "ok".into_response()
    }
}
