//! `/v1/agents/{name}/history` and `/sessions`.

use axum::extract::State;
use moxxy_store as store;
use moxxy_types::{
    ids::{Name, RunId},
    messages::Message,
    sessions::Session,
};
use schemars::JsonSchema;
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    app::App,
    http::api::{
        answer::Result,
        auth::{AgentsRead, Caller},
        extract::{Paging, Path, Query},
        reply::Paginated,
    },
    services::{runs, sessions},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// A session's id, or a conversation's name; `default` if absent.
    session: Option<String>,
    /// Only the messages of this run.
    run_id: Option<RunId>,
    /// Those of the page.
    #[schemars(skip)]
    #[serde(rename = "limit")]
    _limit: Option<IgnoredAny>,
    #[schemars(skip)]
    #[serde(rename = "cursor")]
    _cursor: Option<IgnoredAny>,
}

/// The messages of a session, oldest first.
pub async fn list(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path(name): Path<Name>,
    Query(selection): Query<Selection>,
    paging: Paging<true>,
) -> Result<Paginated<Message>> {
    let mut db = app.store.read().await?;
    let key = store::agents::get(&mut db, &name).await?.key;
    let of_run = match &selection.run_id {
        Some(run) => Some(runs::of(&mut db, &name, run).await?.session_id),
        None => None,
    };
    let session = match (selection.session, of_run) {
        // A run is of one session, so it says which.
        (None, Some(session)) => Some(session),
        (wanted, _) => sessions::find(&mut db, key, wanted).await?,
    };
    let Some(session) = session else { return Ok(Paginated { items: Vec::new(), next: None }) };
    Ok(paging.show(store::messages::page(&mut db, &session, selection.run_id.as_ref(), &paging.page).await?))
}

/// Oldest first.
pub async fn sessions(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path(name): Path<Name>,
    paging: Paging,
) -> Result<Paginated<Session>> {
    let mut db = app.store.read().await?;
    let key = store::agents::get(&mut db, &name).await?.key;
    let sessions = store::sessions::list(&mut db, key, &paging.page).await?;
    Ok(paging.list(sessions, |session| session.id.to_string()))
}
