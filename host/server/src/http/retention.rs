//! `/v1/retention`.

use axum::extract::State;
use moxxy_types::retention::{Kept, Limits, Retention};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    app::App,
    http::api::{
        answer::Result,
        auth::{AgentsRead, Caller},
        extract::Query,
        reply::Body,
    },
    services::retention,
};

/// Which data is wanted, and limits to try on it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Selection {
    /// Only of this kind.
    id: Option<Kept>,
    /// As if it were kept for so many days; 0: for ever.
    keep_days: Option<u16>,
    /// As if so many were kept; 0: all.
    keep_count: Option<u32>,
    /// As if so many bytes were kept; 0: all.
    keep_bytes: Option<u64>,
}

/// Says what is kept of each kind of data, and what would be removed now.
pub(super) async fn list(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Query(wanted): Query<Selection>,
) -> Result<Body<Vec<Retention>>> {
    let Selection { id, keep_days, keep_count, keep_bytes } = wanted;
    let limits = Limits {
        keep_days: keep_days.map(i64::from),
        keep_count: keep_count.map(i64::from),
        keep_bytes: keep_bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
    };
    Ok(Body(retention::overview(&app.runs, id, limits).await?))
}
