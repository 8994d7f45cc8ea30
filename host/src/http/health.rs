//! `/v1/health`, `/livez` and `/readyz`.

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};

use crate::{app::App, error::Result, store};

/// 200 when the server can work, 503 when the database is gone.
pub async fn show(State(app): State<App>) -> (StatusCode, Json<Value>) {
    let components = installed(&app).await;
    let (code, status, database) = match components {
        Ok(_) => (StatusCode::OK, "ok", "ok"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "failing", "unreachable"),
    };
    let version = env!("CARGO_PKG_VERSION");
    let components = components.ok();
    (code, Json(json!({ "status": status, "version": version, "database": database, "components": components })))
}

async fn installed(app: &App) -> Result<i64> {
    store::components::count(&mut *app.store.read().await?).await
}

/// Whether the process answers at all.
pub async fn live() -> &'static str {
    "ok"
}
