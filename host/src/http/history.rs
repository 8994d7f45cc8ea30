//! `/v1/agents/{name}/history` and `/sessions`.

use axum::{Json as Body, extract::State};
use serde::Deserialize;

use super::{
    answer::Result,
    auth::{AgentsRead, Caller},
    extract::{Path, Query},
};
use crate::{
    app::App,
    domain::{
        messages::Message,
        runs,
        sessions::{self, Session},
    },
    ids::{Name, RunId},
    store,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// A session's id, or a conversation's name; `default` if absent.
    session: Option<String>,
    run_id: Option<RunId>,
}

/// The messages of a session, oldest first.
pub async fn list(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path(name): Path<Name>,
    Query(selection): Query<Selection>,
) -> Result<Body<Vec<Message>>> {
    let mut db = app.store.read().await?;
    let key = store::agents::get(&mut db, &name).await?.key;
    let session = match &selection.run_id {
        // A run is of one session, so it says which.
        Some(run) if selection.session.is_none() => Some(runs::of(&mut db, &name, run).await?.session_id),
        _ => sessions::find(&mut db, key, selection.session).await?,
    };
    let Some(session) = session else { return Ok(Body(Vec::new())) };
    Ok(Body(store::messages::list(&mut db, &session, selection.run_id.as_ref()).await?))
}

/// Oldest first.
pub async fn sessions(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path(name): Path<Name>,
) -> Result<Body<Vec<Session>>> {
    let mut db = app.store.read().await?;
    let key = store::agents::get(&mut db, &name).await?.key;
    Ok(Body(store::sessions::list(&mut db, key).await?))
}
