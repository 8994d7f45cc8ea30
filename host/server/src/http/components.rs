//! `/v1/components`: installations of every kind.

use axum::extract::State;
use moxxy_types::{
    components::World,
    ids::{InstallationId, Name},
};
use schemars::JsonSchema;
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    app::App,
    http::api::{
        answer::Result,
        auth::{AgentsRead, AgentsWrite, Caller},
        extract::{IfMatch, Json, Paging, Path, Query},
        reply::{Created, Deleted, Paginated, WithEtag},
        upload::Upload,
    },
    services::installations::{
        Place,
        configure::{self, Patch},
        install::{self, NewInstallation},
        remove,
        upgrade::{self, Upgrade},
        view::{self, View},
    },
};

/// Which installations are listed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Selection {
    /// Agent whose own installations are listed.
    agent_id: Option<Name>,
    /// Kind of installation to list.
    kind: Option<World>,
    #[schemars(skip)]
    #[serde(rename = "limit")]
    _limit: Option<IgnoredAny>,
    #[schemars(skip)]
    #[serde(rename = "cursor")]
    _cursor: Option<IgnoredAny>,
}

/// Lists installations, oldest first.
pub(super) async fn list(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    paging: Paging<true>,
    Query(wanted): Query<Selection>,
) -> Result<Paginated<View>> {
    Ok(paging.show(view::list(&app.components, wanted.agent_id.as_ref(), wanted.kind, &paging.page).await?))
}

pub(super) async fn install(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Upload(new): Upload<NewInstallation>,
) -> Result<Created<View>> {
    let installed = install::install(&app.components, caller.principal, new, None).await?;
    let installed = view::changed(&app.components, installed).await?;
    Ok(Created::new(format!("/v1/components/{}", installed.id), installed))
}

pub(super) async fn show(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path(id): Path<InstallationId>,
) -> Result<WithEtag<View>> {
    Ok(WithEtag(view::get(&app.components, &id).await?))
}

/// Changes the configuration, the permissions, and the agents that may use a skill of the server.
pub(super) async fn update(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path(id): Path<InstallationId>,
    IfMatch(expected): IfMatch,
    Json(patch): Json<Patch>,
) -> Result<WithEtag<View>> {
    let updated = configure::update(&app.components, caller.principal, (Place::Id(id), expected), patch).await?;
    Ok(WithEtag(view::changed(&app.components, updated).await?))
}

/// Replaces the component. Returns 409 if the new one requests permissions without consent.
pub(super) async fn upgrade(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path(id): Path<InstallationId>,
    IfMatch(expected): IfMatch,
    Upload(upgrade): Upload<Upgrade>,
) -> Result<WithEtag<View>> {
    let upgraded = upgrade::upgrade(&app.components, caller.principal, (Place::Id(id), expected), upgrade).await?;
    Ok(WithEtag(view::changed(&app.components, upgraded).await?))
}

/// Restores the previous component, with its configuration.
pub(super) async fn rollback(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path(id): Path<InstallationId>,
    IfMatch(expected): IfMatch,
) -> Result<WithEtag<View>> {
    let back = upgrade::rollback(&app.components, caller.principal, (Place::Id(id), expected)).await?;
    Ok(WithEtag(view::changed(&app.components, back).await?))
}

pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path(id): Path<InstallationId>,
    IfMatch(expected): IfMatch,
) -> Result<Deleted> {
    remove::remove(&app.components, caller.principal, (Place::Id(id), expected)).await?;
    Ok(Deleted)
}
