//! `/v1/agents`.

use axum::extract::State;
use moxxy_types::{
    agents::Agent,
    ids::{Name, SessionId},
    runs::{DailyUsage, Run, Stop},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    http::api::{
        answer::Result,
        auth::{AgentsRead, AgentsWrite, Caller, RunsWrite},
        extract::{IfMatch, Json, OptionalJson, Paging, Path},
        reply::{Body, Created, Deleted, Paginated, WithEtag},
    },
    services::{
        agents::{self, NewAgent, Patch},
        runs, sessions,
    },
};

/// How to stop.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StopMode {
    /// How soon a stop takes effect; `step` if absent.
    pub mode: Stop,
}

/// What a reset began.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Reset {
    /// The agent.
    pub agent_id: Name,
    /// The session that the next runs belong to.
    pub session_id: SessionId,
}

/// Lists agents, by name.
pub(super) async fn list(State(app): State<App>, _: Caller<AgentsRead>, paging: Paging) -> Result<Paginated<Agent>> {
    Ok(paging.show(agents::list(&app.runs, &paging.page).await?))
}

pub(super) async fn create(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Json(new): Json<NewAgent>,
) -> Result<Created<Agent>> {
    let agent = agents::create(&app.runs, caller.principal, new).await?;
    Ok(Created::new(format!("/v1/agents/{}", agent.name), agent))
}

pub(super) async fn show(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path(name): Path<Name>,
) -> Result<WithEtag<Agent>> {
    Ok(WithEtag(agents::get(&app.runs, &name).await?))
}

pub(super) async fn update(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path(name): Path<Name>,
    IfMatch(expected): IfMatch,
    Json(patch): Json<Patch>,
) -> Result<WithEtag<Agent>> {
    Ok(WithEtag(agents::update(&app.runs, caller.principal, name, patch, expected).await?))
}

pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path(name): Path<Name>,
    IfMatch(expected): IfMatch,
) -> Result<Deleted> {
    agents::delete(&app.runs, caller.principal, name, expected).await?;
    Ok(Deleted)
}

/// Lists usage per day, latest first. Days without usage are omitted.
pub(super) async fn usage(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path(name): Path<Name>,
    paging: Paging,
) -> Result<Paginated<DailyUsage>> {
    Ok(paging.show(agents::usage(&app.runs, &name, &paging.page).await?))
}

/// Stops running and queued runs, and returns them.
pub(super) async fn stop(
    State(app): State<App>,
    caller: Caller<RunsWrite>,
    Path(name): Path<Name>,
    OptionalJson(StopMode { mode }): OptionalJson<StopMode>,
) -> Result<Body<Vec<Run>>> {
    Ok(Body(runs::stop_all(&app.runs, &caller.principal, &name, mode).await?))
}

pub(super) async fn reset(
    State(app): State<App>,
    caller: Caller<RunsWrite>,
    Path(name): Path<Name>,
) -> Result<Body<Reset>> {
    let session_id = sessions::reset(&app.runs, caller.principal, name.clone()).await?;
    Ok(Body(Reset { agent_id: name, session_id }))
}
