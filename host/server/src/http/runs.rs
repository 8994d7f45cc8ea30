//! `/v1/agents/{name}/runs` and `/v1/runs`.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue},
};
use moxxy_types::{
    ids::{Name, RunId},
    runs::{Origin, Run, Status},
};
use schemars::JsonSchema;
use serde::{Deserialize, de::IgnoredAny};

use super::agents::StopMode;
use crate::{
    app::App,
    http::api::{
        answer::Result,
        auth::{AgentsRead, AgentsWrite, Caller, RunsWrite},
        extract::{Json, OptionalJson, Paging, Path, Query},
        idempotency::{REPLAYED, TRUE},
        prefer::{Claimed, Wait},
        reply::{Body, Created, Deleted, Paginated, WithEtag},
    },
    services::runs::{self, Detail, NewRun, Started},
};

const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Lists runs, newest first.
pub(super) async fn list(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path(name): Path<Name>,
    paging: Paging,
) -> Result<Paginated<Run>> {
    Ok(paging.show(runs::list(&app.runs, Some(&name), None, None, &paging.page).await?))
}

/// Which runs are wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Selection {
    /// Only of this agent.
    agent_id: Option<Name>,
    /// Only in this state.
    status: Option<Status>,
    /// Only runs of this origin.
    origin: Option<Origin>,
    #[schemars(skip)]
    #[serde(rename = "limit")]
    _limit: Option<IgnoredAny>,
    #[schemars(skip)]
    #[serde(rename = "cursor")]
    _cursor: Option<IgnoredAny>,
}

/// Lists runs of all agents, newest first.
pub(super) async fn list_all(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    paging: Paging<true>,
    Query(wanted): Query<Selection>,
) -> Result<Paginated<Run>> {
    let Selection { agent_id, status, origin, .. } = wanted;
    Ok(paging.show(runs::list(&app.runs, agent_id.as_ref(), status, origin, &paging.page).await?))
}

/// Returns a run by its id alone.
pub(super) async fn show_any(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path(run_id): Path<RunId>,
) -> Result<WithEtag<Detail>> {
    let run = runs::find(&app.runs, &run_id).await?;
    Ok(WithEtag(runs::detail(&app.runs, &run.agent_id, &run_id).await?))
}

pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path((name, run_id)): Path<(Name, RunId)>,
) -> Result<Deleted> {
    runs::delete(&app.runs, caller.principal, &name, run_id).await?;
    Ok(Deleted)
}

/// Queues a run. With `Prefer: wait=SECONDS`, responds when the run ends or after that time.
pub(super) async fn start(
    State(app): State<App>,
    caller: Caller<RunsWrite>,
    Path(name): Path<Name>,
    Wait(patience): Wait,
    Claimed(claim): Claimed,
    Json(new): Json<NewRun>,
) -> Result<Created<Run>> {
    let principal = caller.principal.clone();
    let Started { mut run, before } = runs::start(&app.runs, caller.principal, name.clone(), new, claim).await?;
    let mut headers = HeaderMap::new();
    headers.extend(before.then_some((REPLAYED, TRUE)));
    // A preference may be ignored: without a free stream permit, the response is sent at once.
    let waiting = patience.and_then(|patience| Some((patience, app.events.try_stream(&principal)?)));
    if let Some((patience, _place)) = waiting {
        run = runs::wait(&app.runs, run, patience).await?;
        headers.extend(HeaderValue::from_str(&format!("wait={}", patience.as_secs())).ok().map(|wait| (APPLIED, wait)));
    }
    Ok(Created::new(format!("/v1/agents/{name}/runs/{}", run.run_id), run).with(headers))
}

/// Returns a run with its steps and their usage.
pub(super) async fn show(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path((name, run_id)): Path<(Name, RunId)>,
) -> Result<WithEtag<Detail>> {
    Ok(WithEtag(runs::detail(&app.runs, &name, &run_id).await?))
}

pub(super) async fn stop(
    State(app): State<App>,
    caller: Caller<RunsWrite>,
    Path((name, run_id)): Path<(Name, RunId)>,
    OptionalJson(StopMode { mode }): OptionalJson<StopMode>,
) -> Result<Body<Run>> {
    let run = runs::get(&app.runs, &name, &run_id).await?;
    Ok(Body(runs::stop(&app.runs, &caller.principal, run, mode).await?))
}
