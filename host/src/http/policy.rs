//! `/v1/agents/{name}/tool-policy`.

use axum::extract::State;

use super::{
    answer::Result,
    auth::{AgentsRead, AgentsWrite, Caller},
    extract::{IfMatch, Json, Path},
    reply::Tagged,
};
use crate::{
    app::App,
    domain::policy::{self, Policy, View},
    ids::Name,
};

pub async fn show(State(app): State<App>, _: Caller<AgentsRead>, Path(name): Path<Name>) -> Result<Tagged<View>> {
    Ok(Tagged(policy::show(&app, &name).await?))
}

pub async fn set(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path(name): Path<Name>,
    IfMatch(expected): IfMatch,
    Json(policy): Json<Policy>,
) -> Result<Tagged<View>> {
    Ok(Tagged(policy::set(&app, caller.principal, name, policy, expected).await?))
}
