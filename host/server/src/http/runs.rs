//! `/v1/agents/{name}/runs`.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue},
};
use moxxy_types::{
    ids::{Name, RunId},
    runs::Run,
};

use super::agents::StopMode;
use crate::{
    app::App,
    http::api::{
        answer::Result,
        auth::{AgentsRead, Caller, RunsWrite},
        extract::{Json, OptionalJson, Paging, Path},
        idempotency::{REPLAYED, TRUE},
        prefer::{Claimed, Wait},
        reply::{Body, Created, Paginated, WithEtag},
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
    Ok(paging.show(runs::list(&app.runs, &name, &paging.page).await?))
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
    let Started { mut run, before } = runs::start(&app.runs, caller.principal, name.clone(), new, claim).await?;
    let mut headers = HeaderMap::new();
    headers.extend(before.then_some((REPLAYED, TRUE)));
    // A preference may be ignored: without a free stream permit, the response is sent at once.
    let waiting = patience.and_then(|patience| Some((patience, app.events.try_stream()?)));
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
