//! `/v1/providers`.

use axum::extract::State;
use moxxy_store as store;
use moxxy_types::{checks::Report, ids::Name, providers::Provider};

use crate::{
    app::App,
    http::api::{
        answer::Result,
        auth::{AgentsRead, AgentsWrite, Caller},
        extract::{IfMatch, Json, OptionalJson, Paging, Path},
        reply::{Body, Created, Deleted, Paginated, WithEtag},
    },
    services::{
        checks::Order,
        models::{self, Model},
        providers::{self, NewProvider, Patch, View},
    },
};

/// By name.
pub async fn list(State(app): State<App>, _: Caller<AgentsRead>, paging: Paging) -> Result<Paginated<View>> {
    let providers = store::providers::list(&mut *app.store.read().await?, &paging.page).await?;
    let shown = providers.into_iter().map(|provider| shown(&app, provider)).collect();
    Ok(paging.list(shown, |provider: &View| provider.id.to_string()))
}

pub async fn install(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Json(new): Json<NewProvider>,
) -> Result<Created<View>> {
    let provider = shown(&app, providers::install(&app, caller.principal, new).await?);
    Ok(Created::new(format!("/v1/providers/{}", provider.id), provider))
}

pub async fn show(State(app): State<App>, _: Caller<AgentsRead>, Path(id): Path<Name>) -> Result<WithEtag<View>> {
    Ok(WithEtag(shown(&app, store::providers::get(&mut *app.store.read().await?, &id).await?)))
}

pub async fn update(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path(id): Path<Name>,
    IfMatch(expected): IfMatch,
    Json(patch): Json<Patch>,
) -> Result<WithEtag<View>> {
    Ok(WithEtag(shown(&app, providers::update(&app, caller.principal, id, patch, expected).await?)))
}

pub async fn delete(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path(id): Path<Name>,
    IfMatch(expected): IfMatch,
) -> Result<Deleted> {
    providers::remove(&app, caller.principal, id, expected).await?;
    Ok(Deleted)
}

pub async fn models(State(app): State<App>, _: Caller<AgentsRead>, Path(id): Path<Name>) -> Result<Body<Vec<Model>>> {
    let provider = store::providers::get(&mut *app.store.read().await?, &id).await?;
    Ok(Body(models::of(&app, &provider).await?))
}

pub async fn check(
    State(app): State<App>,
    _: Caller<AgentsWrite>,
    Path(id): Path<Name>,
    OptionalJson(order): OptionalJson<Order>,
) -> Result<Body<Report>> {
    Ok(Body(crate::services::checks::check(&app, id, order).await?))
}

pub async fn checked(State(app): State<App>, _: Caller<AgentsRead>, Path(id): Path<Name>) -> Result<WithEtag<Report>> {
    Ok(WithEtag(crate::services::checks::last(&app, &id).await?))
}

fn shown(app: &App, provider: Provider) -> View {
    View::new(provider, &app.store.clock().timestamp(), &app.config.egress.private)
}
