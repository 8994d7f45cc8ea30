//! `/v1/providers`.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    answer::Result,
    auth::{AgentsRead, AgentsWrite, Caller},
    extract::{IfMatch, Json, Paging, Path},
    reply::{Body, Created, Deleted, Listed, Tagged},
};
use crate::{
    app::App,
    domain::providers::{self, Model, NewProvider, View},
    ids::Name,
    store,
};

/// A change of a provider.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ProviderPatch")]
pub struct Patch {
    /// In place of the one before.
    pub config: Map<String, Value>,
}

/// By name.
pub async fn list(State(app): State<App>, _: Caller<AgentsRead>, paging: Paging) -> Result<Listed<View>> {
    let providers = store::providers::list(&mut *app.store.read().await?, &paging.page).await?;
    Ok(paging.list(providers.into_iter().map(View::from).collect(), |provider| provider.id.to_string()))
}

pub async fn install(
    State(app): State<App>,
    _: Caller<AgentsWrite>,
    Json(new): Json<NewProvider>,
) -> Result<Created<View>> {
    let provider = View::from(providers::install(&app, new).await?);
    Ok(Created::new(format!("/v1/providers/{}", provider.id), provider))
}

pub async fn show(State(app): State<App>, _: Caller<AgentsRead>, Path(id): Path<Name>) -> Result<Tagged<View>> {
    Ok(Tagged(store::providers::get(&mut *app.store.read().await?, &id).await?.into()))
}

pub async fn update(
    State(app): State<App>,
    _: Caller<AgentsWrite>,
    Path(id): Path<Name>,
    IfMatch(expected): IfMatch,
    Json(patch): Json<Patch>,
) -> Result<Tagged<View>> {
    Ok(Tagged(providers::configure(&app, id, patch.config, expected).await?.into()))
}

pub async fn delete(
    State(app): State<App>,
    _: Caller<AgentsWrite>,
    Path(id): Path<Name>,
    IfMatch(expected): IfMatch,
) -> Result<Deleted> {
    providers::remove(&app, id, expected).await?;
    Ok(Deleted)
}

pub async fn models(State(app): State<App>, _: Caller<AgentsRead>, Path(id): Path<Name>) -> Result<Body<Vec<Model>>> {
    let provider = store::providers::get(&mut *app.store.read().await?, &id).await?;
    Ok(Body(providers::models(&app, &provider).await?))
}
