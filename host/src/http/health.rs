//! `/v1/health`, `/livez` and `/readyz`.

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};

use crate::{app::App, store};

/// 200 when the server can work, 503 when the database is gone.
pub async fn show(State(app): State<App>) -> (StatusCode, Json<Value>) {
    let database = app.store.ping().await.is_ok();
    let (code, status) = if database { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "failing") };
    let components = match app.store.read().await {
        Ok(mut db) => store::components::list(&mut db).await.map_or(0, |all| all.len()),
        Err(_) => 0,
    };
    let body = json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "database": if database { "ok" } else { "unreachable" },
        "components": components,
    });
    (code, Json(body))
}

/// Whether the process answers at all.
pub async fn live() -> &'static str {
    "ok"
}
