//! `/v1/agents`.

use axum::{
    Json as Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer::Result,
    auth::{AgentsRead, AgentsWrite, Caller, RunsWrite},
    extract::{Json, OptionalJson, Path},
};
use crate::{
    app::App,
    domain::{
        agents::{self, Agent, NewAgent, Patch},
        runs::{self, Run, Stop},
        sessions,
    },
    ids::Name,
    store,
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StopMode {
    pub mode: Stop,
}

pub async fn list(State(app): State<App>, _: Caller<AgentsRead>) -> Result<Body<Vec<Agent>>> {
    Ok(Body(store::agents::list(&mut *app.store.read().await?).await?))
}

pub async fn create(
    State(app): State<App>,
    _: Caller<AgentsWrite>,
    Json(new): Json<NewAgent>,
) -> Result<(StatusCode, HeaderMap, Body<Agent>)> {
    let agent = agents::create(&app, new).await?;
    Ok((StatusCode::CREATED, location(&format!("/v1/agents/{}", agent.name)), Body(agent)))
}

pub async fn show(State(app): State<App>, _: Caller<AgentsRead>, Path(name): Path<Name>) -> Result<Body<Agent>> {
    Ok(Body(store::agents::get(&mut *app.store.read().await?, &name).await?))
}

pub async fn update(
    State(app): State<App>,
    _: Caller<AgentsWrite>,
    Path(name): Path<Name>,
    Json(patch): Json<Patch>,
) -> Result<Body<Agent>> {
    Ok(Body(agents::update(&app, name, patch).await?))
}

pub async fn delete(State(app): State<App>, _: Caller<AgentsWrite>, Path(name): Path<Name>) -> Result<StatusCode> {
    agents::delete(&app, name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Stops what runs and what waits, and answers with the runs that it stopped.
pub async fn stop(
    State(app): State<App>,
    _: Caller<RunsWrite>,
    Path(name): Path<Name>,
    OptionalJson(StopMode { mode }): OptionalJson<StopMode>,
) -> Result<Body<Vec<Run>>> {
    Ok(Body(runs::stop_all(&app, &name, mode).await?))
}

pub async fn reset(State(app): State<App>, _: Caller<RunsWrite>, Path(name): Path<Name>) -> Result<Body<Value>> {
    let session_id = sessions::reset(&app, name.clone()).await?;
    Ok(Body(json!({ "agent_id": name, "session_id": session_id })))
}

/// The `Location` of something new.
pub fn location(path: &str) -> HeaderMap {
    // Made of checked names, so it is always a valid value.
    path.parse().map(|value| HeaderMap::from_iter([(header::LOCATION, value)])).unwrap_or_default()
}
