//! `/v1/providers`.

use axum::{
    Json as Body,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    agents::location,
    answer::Result,
    auth::{AgentsRead, AgentsWrite, Caller},
    extract::{Json, Path},
};
use crate::{
    app::App,
    domain::providers::{self, Model, NewProvider, View},
    ids::Name,
    store,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    config: Map<String, Value>,
}

pub async fn list(State(app): State<App>, _: Caller<AgentsRead>) -> Result<Body<Vec<View>>> {
    let providers = store::providers::list(&mut *app.store.read().await?).await?;
    Ok(Body(providers.into_iter().map(View::from).collect()))
}

pub async fn install(
    State(app): State<App>,
    _: Caller<AgentsWrite>,
    Json(new): Json<NewProvider>,
) -> Result<(StatusCode, HeaderMap, Body<View>)> {
    let provider = View::from(providers::install(&app, new).await?);
    Ok((StatusCode::CREATED, location(&format!("/v1/providers/{}", provider.id)), Body(provider)))
}

pub async fn show(State(app): State<App>, _: Caller<AgentsRead>, Path(id): Path<Name>) -> Result<Body<View>> {
    Ok(Body(store::providers::get(&mut *app.store.read().await?, &id).await?.into()))
}

pub async fn update(
    State(app): State<App>,
    _: Caller<AgentsWrite>,
    Path(id): Path<Name>,
    Json(patch): Json<Patch>,
) -> Result<Body<View>> {
    Ok(Body(providers::configure(&app, id, patch.config).await?.into()))
}

pub async fn delete(State(app): State<App>, _: Caller<AgentsWrite>, Path(id): Path<Name>) -> Result<StatusCode> {
    providers::remove(&app, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn models(State(app): State<App>, _: Caller<AgentsRead>, Path(id): Path<Name>) -> Result<Body<Vec<Model>>> {
    let provider = store::providers::get(&mut *app.store.read().await?, &id).await?;
    Ok(Body(providers::models(&app, &provider).await?))
}
