//! `/v1/auth/tokens`.

use axum::extract::State;
use moxxy_types::{ids::TokenId, tokens::Token};

use crate::{
    app::App,
    http::api::{
        answer::Result,
        auth::{Caller, TokenCreator, TokensAdmin},
        extract::{Json, Paging, Path},
        reply::{Created, Deleted, Paginated},
    },
    services::tokens::{self, Issued, NewToken},
};

pub(super) async fn create(
    State(app): State<App>,
    TokenCreator(creator): TokenCreator,
    Json(new): Json<NewToken>,
) -> Result<Created<Issued>> {
    let issued = tokens::create(&app.access, creator, new).await?;
    let place = format!("/v1/auth/tokens/{}", issued.id);
    Ok(Created::new(place, issued).secret())
}

/// Lists tokens, oldest first, without their values.
pub(super) async fn list(State(app): State<App>, _: Caller<TokensAdmin>, paging: Paging) -> Result<Paginated<Token>> {
    Ok(paging.show(tokens::list(&app.access, &paging.page).await?))
}

pub(super) async fn revoke(
    State(app): State<App>,
    caller: Caller<TokensAdmin>,
    Path(id): Path<TokenId>,
) -> Result<Deleted> {
    tokens::revoke(&app.access, caller.principal, id).await?;
    Ok(Deleted)
}
