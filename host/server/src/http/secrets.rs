//! `/v1/vault/secrets`.

use axum::extract::State;
use moxxy_types::{ids::SecretId, secrets::Secret};

use crate::{
    app::App,
    http::api::{
        answer::Result,
        auth::{Caller, VaultRead, VaultWrite},
        extract::{IfMatch, Json, Paging, Path},
        reply::{Created, Deleted, Paginated, WithEtag},
    },
    services::secrets::{self, NewSecret, NewValue},
};

pub(super) async fn create(
    State(app): State<App>,
    caller: Caller<VaultWrite>,
    Json(new): Json<NewSecret>,
) -> Result<Created<Secret>> {
    let secret = secrets::create(&app.vault, caller.principal, new).await?;
    Ok(Created::new(format!("/v1/vault/secrets/{}", secret.id), secret))
}

/// Lists secrets, oldest first.
pub(super) async fn list(State(app): State<App>, _: Caller<VaultRead>, paging: Paging) -> Result<Paginated<Secret>> {
    Ok(paging.show(secrets::list(&app.vault, &paging.page).await?))
}

pub(super) async fn show(
    State(app): State<App>,
    _: Caller<VaultRead>,
    Path(id): Path<SecretId>,
) -> Result<WithEtag<Secret>> {
    Ok(WithEtag(secrets::get(&app.vault, &id).await?))
}

/// Replaces the value of a secret.
pub(super) async fn rotate(
    State(app): State<App>,
    caller: Caller<VaultWrite>,
    Path(id): Path<SecretId>,
    IfMatch(expected): IfMatch,
    Json(new): Json<NewValue>,
) -> Result<WithEtag<Secret>> {
    Ok(WithEtag(secrets::rotate(&app.vault, caller.principal, id, new, expected).await?))
}

pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller<VaultWrite>,
    Path(id): Path<SecretId>,
    IfMatch(expected): IfMatch,
) -> Result<Deleted> {
    secrets::remove(&app.vault, caller.principal, id, expected).await?;
    Ok(Deleted)
}
