//! `/v1/health`, `/livez` and `/readyz`.

use aide::{
    OperationOutput,
    generate::GenContext,
    openapi::{Operation, Response as Described, StatusCode as Status},
};
use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use moxxy_store as store;
use moxxy_types::error::Result;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::{
    app::App,
    http::api::reply::{self, Shown as _},
};

/// How the server is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Health {
    /// `ok`, `failing`, or `restored`: it waits for `moxxy restore --activate`, and carries out no run.
    pub status: &'static str,
    /// The server's.
    pub version: &'static str,
    /// `ok` or `unreachable`.
    pub database: &'static str,
    /// How many components are installed.
    pub components: Option<i64>,
}

/// 200 when the server can work, 503 when the database is gone.
pub async fn show(State(app): State<App>) -> Health {
    let components = installed(&app).await;
    let (status, database) = match components {
        Err(_) => ("failing", "unreachable"),
        Ok(_) if app.restored => ("restored", "ok"),
        Ok(_) => ("ok", "ok"),
    };
    Health { status, version: env!("CARGO_PKG_VERSION"), database, components: components.ok() }
}

async fn installed(app: &App) -> Result<i64> {
    store::components::count(&mut *app.store.read().await?).await
}

/// Whether the process answers at all.
pub async fn live() -> Live {
    Live
}

#[derive(Debug)]
pub struct Live;

impl IntoResponse for Health {
    fn into_response(self) -> Response {
        let status = if self.components.is_some() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(self)).into_response()
    }
}

impl OperationOutput for Health {
    type Inner = Self;
    fn inferred_responses(ctx: &mut GenContext, _: &mut Operation) -> Vec<(Option<Status>, Described)> {
        let mut described = |text, example| reply::described(ctx.schema.subschema_for::<Self>(), example, text, &[]);
        let failing = json!({ "status": "failing", "version": "0.1.0", "database": "unreachable", "components": null });
        let ok = described("It is well.", Self::example());
        vec![(Some(Status::Code(200)), ok), (Some(Status::Code(503)), described("The database is gone.", failing))]
    }
}

impl IntoResponse for Live {
    fn into_response(self) -> Response {
        "ok".into_response()
    }
}

impl OperationOutput for Live {
    type Inner = ();
    fn inferred_responses(_: &mut GenContext, _: &mut Operation) -> Vec<(Option<Status>, Described)> {
        vec![(Some(Status::Code(200)), reply::text("It answers.", "ok"))]
    }
}
