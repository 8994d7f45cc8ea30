//! `/v1/jobs`.

use axum::extract::State;
use moxxy_types::{
    ids::{JobId, Name},
    jobs::{Job, Status},
};
use schemars::JsonSchema;
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    app::App,
    http::api::{
        answer::Result,
        auth::{AgentsRead, AgentsWrite, Caller},
        extract::{Paging, Path, Query},
        reply::{Body, Deleted, Paginated},
    },
    services::jobs,
};

/// Which jobs are wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Selection {
    /// Only for this agent.
    agent_id: Option<Name>,
    /// Only in this state.
    status: Option<Status>,
    /// Only of this kind, such as `question.expire`.
    kind: Option<String>,
    #[schemars(skip)]
    #[serde(rename = "limit")]
    _limit: Option<IgnoredAny>,
    #[schemars(skip)]
    #[serde(rename = "cursor")]
    _cursor: Option<IgnoredAny>,
}

/// Lists jobs, oldest first.
pub(super) async fn list(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    paging: Paging<true>,
    Query(wanted): Query<Selection>,
) -> Result<Paginated<Job>> {
    let Selection { agent_id, status, kind, .. } = wanted;
    Ok(paging.show(jobs::list(&app.background, agent_id.as_ref(), status, kind, &paging.page).await?))
}

pub(super) async fn show(State(app): State<App>, _: Caller<AgentsRead>, Path(id): Path<JobId>) -> Result<Body<Job>> {
    Ok(Body(jobs::get(&app.background, &id).await?))
}

pub(super) async fn retry(State(app): State<App>, _: Caller<AgentsWrite>, Path(id): Path<JobId>) -> Result<Body<Job>> {
    Ok(Body(jobs::retry(&app.background, id).await?))
}

pub(super) async fn delete(State(app): State<App>, _: Caller<AgentsWrite>, Path(id): Path<JobId>) -> Result<Deleted> {
    jobs::delete(&app.background, id).await?;
    Ok(Deleted)
}
