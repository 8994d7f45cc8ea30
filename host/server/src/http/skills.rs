//! `/v1/agents/{name}/skills`.

use axum::extract::State;
use moxxy_types::ids::Name;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    app::App,
    http::api::{
        answer::Result,
        auth::{AgentsRead, AgentsWrite, Caller, RunsWrite},
        extract::{IfMatch, Json, Paging, Path},
        reply::{Body, Created, Deleted, Paginated, WithEtag},
        upload::Upload,
    },
    services::{
        installations::{
            Place,
            configure::{self, Patch},
            remove,
            upgrade::{self, Upgrade},
        },
        invocations,
        skills::{self, Install, View},
    },
};

/// A tool to be called.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Invocation {
    /// One of the skill's `tools`, by its name.
    tool: String,
    /// As the tool's `parameters` say.
    #[serde(default)]
    arguments: Map<String, Value>,
}

/// Lists skills, by name.
pub(super) async fn list(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path(name): Path<Name>,
    paging: Paging,
) -> Result<Paginated<View>> {
    Ok(paging.show(skills::list(&app.components, &name, &paging.page).await?))
}

pub(super) async fn install(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path(name): Path<Name>,
    Upload(install): Upload<Install>,
) -> Result<Created<View>> {
    let skill = skills::install(&app.components, caller.principal, name.clone(), install).await?;
    Ok(Created::new(format!("/v1/agents/{name}/skills/{}", skill.skill_id), skill))
}

/// Replaces the component. Returns 409 if the new one requests permissions without consent.
pub(super) async fn upgrade(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path((name, skill_id)): Path<(Name, Name)>,
    IfMatch(expected): IfMatch,
    Upload(upgrade): Upload<Upgrade>,
) -> Result<WithEtag<View>> {
    let place = (Place::Skill { agent: name, name: skill_id }, expected);
    let upgraded = upgrade::upgrade(&app.components, caller.principal, place, upgrade).await?;
    Ok(WithEtag(skills::view(&app.components, upgraded)))
}

/// Changes the configuration and the permissions.
pub(super) async fn update(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path((name, skill_id)): Path<(Name, Name)>,
    IfMatch(expected): IfMatch,
    Json(patch): Json<Patch>,
) -> Result<WithEtag<View>> {
    let place = (Place::Skill { agent: name, name: skill_id }, expected);
    let updated = configure::update(&app.components, caller.principal, place, patch).await?;
    Ok(WithEtag(skills::view(&app.components, updated)))
}

/// Restores the previous component.
pub(super) async fn rollback(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path((name, skill_id)): Path<(Name, Name)>,
    IfMatch(expected): IfMatch,
) -> Result<WithEtag<View>> {
    let place = (Place::Skill { agent: name, name: skill_id }, expected);
    let back = upgrade::rollback(&app.components, caller.principal, place).await?;
    Ok(WithEtag(skills::view(&app.components, back)))
}

pub(super) async fn show(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path((name, skill_id)): Path<(Name, Name)>,
) -> Result<WithEtag<View>> {
    Ok(WithEtag(skills::get(&app.components, &name, &skill_id).await?))
}

pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path((name, skill_id)): Path<(Name, Name)>,
    IfMatch(expected): IfMatch,
) -> Result<Deleted> {
    let place = (Place::Skill { agent: name, name: skill_id }, expected);
    remove::remove(&app.components, caller.principal, place).await?;
    Ok(Deleted)
}

/// Calls one tool and returns its result, as a JSON string if it is text.
pub(super) async fn invoke(
    State(app): State<App>,
    caller: Caller<RunsWrite>,
    Path((name, skill_id)): Path<(Name, Name)>,
    Json(call): Json<Invocation>,
) -> Result<Body<Value>> {
    let output =
        invocations::invoke(&app.components, caller.principal, name, skill_id, call.tool, call.arguments).await?;
    Ok(Body(output.to_value()))
}
