//! `/v1/providers`.

use axum::extract::State;
use moxxy_types::{checks::Report, ids::Name};

use crate::{
    app::App,
    http::api::{
        answer::Result,
        auth::{AgentsRead, AgentsWrite, Caller},
        extract::{IfMatch, Json, OptionalJson, Paging, Path},
        reply::{Body, Created, Deleted, Paginated, WithEtag},
        upload::Upload,
    },
    services::{
        checks::{self, Order},
        installations::{
            Place,
            configure::{self, Patch},
            remove,
            upgrade::{self, Upgrade},
        },
        models::{self, Model},
        providers::{
            self, NewProvider, View,
            trial::{self, NewTest},
        },
    },
};

/// Lists providers, by name.
pub(super) async fn list(State(app): State<App>, _: Caller<AgentsRead>, paging: Paging) -> Result<Paginated<View>> {
    Ok(paging.show(providers::list(&app.components, &paging.page).await?))
}

pub(super) async fn install(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Upload(new): Upload<NewProvider>,
) -> Result<Created<View>> {
    let provider = providers::install(&app.components, caller.principal, new).await?;
    Ok(Created::new(format!("/v1/providers/{}", provider.id), provider))
}

pub(super) async fn show(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path(id): Path<Name>,
) -> Result<WithEtag<View>> {
    Ok(WithEtag(providers::get(&app.components, &id).await?))
}

pub(super) async fn update(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path(id): Path<Name>,
    IfMatch(expected): IfMatch,
    Json(patch): Json<Patch>,
) -> Result<WithEtag<View>> {
    let place = (Place::Provider(id), expected);
    let updated = configure::update(&app.components, caller.principal, place, patch).await?;
    Ok(WithEtag(providers::view(&app.components, updated)))
}

/// Replaces the component. Returns 409 if the new one requests permissions without consent.
pub(super) async fn upgrade(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path(name): Path<Name>,
    IfMatch(expected): IfMatch,
    Upload(upgrade): Upload<Upgrade>,
) -> Result<WithEtag<View>> {
    let place = (Place::Provider(name), expected);
    let upgraded = upgrade::upgrade(&app.components, caller.principal, place, upgrade).await?;
    Ok(WithEtag(providers::view(&app.components, upgraded)))
}

/// Restores the previous component, with its configuration.
pub(super) async fn rollback(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path(name): Path<Name>,
    IfMatch(expected): IfMatch,
) -> Result<WithEtag<View>> {
    let place = (Place::Provider(name), expected);
    let back = upgrade::rollback(&app.components, caller.principal, place).await?;
    Ok(WithEtag(providers::view(&app.components, back)))
}

pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path(id): Path<Name>,
    IfMatch(expected): IfMatch,
) -> Result<Deleted> {
    remove::remove(&app.components, caller.principal, (Place::Provider(id), expected)).await?;
    Ok(Deleted)
}

pub(super) async fn models(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path(id): Path<Name>,
) -> Result<Body<Vec<Model>>> {
    Ok(Body(models::list(&app.components, &id).await?))
}

/// Tests a provider against its real service.
pub(super) async fn test(
    State(app): State<App>,
    _: Caller<AgentsWrite>,
    Path(id): Path<Name>,
    OptionalJson(new): OptionalJson<NewTest>,
) -> Result<Body<trial::Report>> {
    Ok(Body(trial::test(&app.components, &id, new).await?))
}

pub(super) async fn check(
    State(app): State<App>,
    _: Caller<AgentsWrite>,
    Path(id): Path<Name>,
    OptionalJson(order): OptionalJson<Order>,
) -> Result<Body<Report>> {
    Ok(Body(checks::check(&app.components, id, order).await?))
}

pub(super) async fn checked(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path(id): Path<Name>,
) -> Result<WithEtag<Report>> {
    Ok(WithEtag(checks::last(&app.components, &id).await?))
}
