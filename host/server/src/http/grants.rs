//! `/v1/vault/grants`.

use axum::extract::State;
use moxxy_types::{
    grants::{Grant, NewGrant},
    ids::GrantId,
};

use crate::{
    app::App,
    http::api::{
        answer::Result,
        auth::{Caller, VaultRead, VaultWrite},
        extract::{Json, Paging, Path},
        reply::{Created, Deleted, Paginated},
    },
    services::grants::{self, Granted},
};

pub(super) async fn create(
    State(app): State<App>,
    caller: Caller<VaultWrite>,
    Json(new): Json<NewGrant>,
) -> Result<Created<Granted>> {
    let granted = grants::create(&app.vault, caller.principal, new).await?;
    Ok(Created::new("/v1/vault/grants".into(), granted))
}

/// Lists grants, oldest first.
pub(super) async fn list(State(app): State<App>, _: Caller<VaultRead>, paging: Paging) -> Result<Paginated<Grant>> {
    Ok(paging.show(grants::list(&app.vault, &paging.page).await?))
}

pub(super) async fn revoke(
    State(app): State<App>,
    caller: Caller<VaultWrite>,
    Path(id): Path<GrantId>,
) -> Result<Deleted> {
    grants::revoke(&app.vault, caller.principal, id).await?;
    Ok(Deleted)
}
