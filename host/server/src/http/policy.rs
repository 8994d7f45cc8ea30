//! `/v1/agents/{name}/tool-policy` and `…/decisions`.

use axum::extract::State;
use moxxy_types::{
    ids::Name,
    policy::{Policy, Standing},
};

use crate::{
    app::App,
    http::api::{
        answer::Result,
        auth::{AgentsRead, AgentsWrite, Caller},
        extract::{IfMatch, Json, Paging, Path},
        reply::{Paginated, WithEtag},
    },
    services::policy,
};

pub(super) async fn show(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path(name): Path<Name>,
) -> Result<WithEtag<Policy>> {
    Ok(WithEtag(policy::show(&app.runs, &name).await?))
}

pub(super) async fn set(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path(name): Path<Name>,
    IfMatch(expected): IfMatch,
    Json(policy): Json<Policy>,
) -> Result<WithEtag<Policy>> {
    Ok(WithEtag(policy::set(&app.runs, caller.principal, name, policy, expected).await?))
}

/// Lists lasting decisions, oldest first.
pub(super) async fn decisions(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path(name): Path<Name>,
    paging: Paging,
) -> Result<Paginated<Standing>> {
    Ok(paging.show(policy::decisions(&app.runs, &name, &paging.page).await?))
}
