//! `/v1/agents/{name}/runs`.

use std::time::Duration;

use axum::{
    Json as Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode},
};
use serde::Deserialize;

use super::{
    agents::{StopMode, location},
    answer::Result,
    auth::{AgentsRead, Caller, RunsWrite},
    extract::{Json, OptionalJson, Path, Query},
};
use crate::{
    app::App,
    domain::runs::{self, Detail, NewRun, Run},
    error::Error,
    ids::{Name, RunId},
    store,
};

const PAGE: i64 = 100;
const LARGEST_PAGE: i64 = 1000;
const LONGEST_WAIT: u64 = 300;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    limit: Option<i64>,
}

/// Newest first.
pub async fn list(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path(name): Path<Name>,
    Query(page): Query<Page>,
) -> Result<Body<Vec<Run>>> {
    let limit = page.limit.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(Error::invalid_field("limit", format!("it is 1 to {LARGEST_PAGE}")).into());
    }
    let mut db = app.store.read().await?;
    let key = store::agents::get(&mut db, &name).await?.key;
    Ok(Body(store::runs::list(&mut db, key, limit).await?))
}

/// Queues a run; with `Prefer: wait=SECONDS` the answer waits for its end, or for so long.
pub async fn start(
    State(app): State<App>,
    _: Caller<RunsWrite>,
    Path(name): Path<Name>,
    headers: HeaderMap,
    Json(new): Json<NewRun>,
) -> Result<(StatusCode, HeaderMap, Body<Run>)> {
    let patience = preferred_wait(&headers);
    let mut run = runs::start(&app, name.clone(), new).await?;
    let mut headers = location(&format!("/v1/agents/{name}/runs/{}", run.run_id));
    if let Some(patience) = patience {
        run = runs::wait(&app, run, patience).await?;
        if let Ok(applied) = HeaderValue::from_str(&format!("wait={}", patience.as_secs())) {
            headers.insert("preference-applied", applied);
        }
    }
    Ok((StatusCode::CREATED, headers, Body(run)))
}

/// One run with its steps and what they used.
pub async fn show(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path((name, run_id)): Path<(Name, RunId)>,
) -> Result<Body<Detail>> {
    Ok(Body(runs::detail(&app, &name, &run_id).await?))
}

pub async fn stop(
    State(app): State<App>,
    _: Caller<RunsWrite>,
    Path((name, run_id)): Path<(Name, RunId)>,
    OptionalJson(StopMode { mode }): OptionalJson<StopMode>,
) -> Result<Body<Run>> {
    let run = runs::get(&app, &name, &run_id).await?;
    Ok(Body(runs::stop(&app, run, mode).await?))
}

/// The `wait` preference (RFC 7240), in seconds; a preference that cannot be read is ignored.
fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut pairs = preferences.flat_map(|value| value.split([',', ';'])).filter_map(|token| token.split_once('='));
    let (_, seconds) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))?;
    let seconds = seconds.trim().trim_matches('"');
    let digits = !seconds.is_empty() && seconds.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| Duration::from_secs(seconds.parse().map_or(LONGEST_WAIT, |wanted: u64| wanted.min(LONGEST_WAIT))))
}
