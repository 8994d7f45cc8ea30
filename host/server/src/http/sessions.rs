//! `/v1/agents/{name}/sessions` and `…/history`.

use axum::extract::State;
use moxxy_types::{
    ids::{Name, RunId, SessionId},
    messages::Message,
    sessions::Session,
};
use schemars::JsonSchema;
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    app::App,
    http::api::{
        answer::Result,
        auth::{AgentsRead, AgentsWrite, Caller},
        extract::{Paging, Path, Query},
        reply::{Deleted, Paginated},
    },
    services::sessions,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Selection {
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

/// Lists the messages of a session, oldest first.
pub(super) async fn messages(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path(name): Path<Name>,
    Query(selection): Query<Selection>,
    paging: Paging<true>,
) -> Result<Paginated<Message>> {
    let (session, run) = (selection.session, selection.run_id.as_ref());
    Ok(paging.show(sessions::messages(&app.runs, &name, session, run, &paging.page).await?))
}

/// Lists sessions, oldest first.
pub(super) async fn list(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path(name): Path<Name>,
    paging: Paging,
) -> Result<Paginated<Session>> {
    Ok(paging.show(sessions::list(&app.runs, &name, &paging.page).await?))
}

pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path((name, session_id)): Path<(Name, SessionId)>,
) -> Result<Deleted> {
    sessions::delete(&app.runs, caller.principal, name, session_id).await?;
    Ok(Deleted)
}
