//! `/v1/responses`: agents as models, for clients of OpenAI's Responses API. A response is a run; its id is that of the
//! run with another prefix.

mod request;
mod response;
mod stream;

use std::fmt;

use axum::{extract::State, http::HeaderMap};
use moxxy_types::{
    error::{Error, Result as CoreResult},
    ids::RunId,
    runs::{Origin, Run, Stop},
};
use serde::Deserialize;

use crate::{
    app::App,
    http::{
        api::{
            answer::{ApiError, Result},
            auth::{Caller, RunsWrite},
            extract::{Json, Path},
            prefer::Claimed,
            reply::Body,
        },
        chat::{attempt, failed, headers, place},
    },
    services::{
        chat::{self, OutputStream},
        runs::{self, Runs},
    },
};

pub(super) use request::Request;
pub(super) use response::{Created, DeletedResponse, ModelResponse};

/// Begin of a response's id, in place of that of a run.
const PREFIX: &str = "resp_";
const RUN_PREFIX: &str = "run_";

/// Id of a response, as the id of its run.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct ResponseId(RunId);

impl TryFrom<String> for ResponseId {
    type Error = &'static str;
    fn try_from(text: String) -> CoreResult<Self, Self::Error> {
        let run = text.strip_prefix(PREFIX).map(|rest| RunId::try_from(format!("{RUN_PREFIX}{rest}")));
        run.and_then(CoreResult::ok).map(Self).ok_or("it is the id of a response: `resp_…`")
    }
}

impl fmt::Display for ResponseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&response_id(&self.0))
    }
}

fn response_id(run: &RunId) -> String {
    run.as_str().replacen(RUN_PREFIX, PREFIX, 1)
}

pub(super) async fn create(
    State(app): State<App>,
    caller: Caller<RunsWrite>,
    Claimed(claim): Claimed,
    asked: HeaderMap,
    Json(request): Json<Request>,
) -> Result<Created> {
    let request::Parsed { agent, conversation, instructions, is_streamed, in_background } = request.parse()?;
    let place = place(&app, &caller)?;
    // A stream cannot be replayed.
    let claim = claim.filter(|_| !is_streamed);
    let (origin, attempt) = (Origin::Responses, attempt(&asked));
    let request = chat::Request { agent, origin, conversation, attempt, in_background, claim };
    if is_streamed {
        let (chat_run, output) = OutputStream::start(&app.runs, caller.principal, request).await?;
        let headers = headers(&chat_run.run);
        let stream = stream::ResponseStream::new(app.runs, chat_run, output, instructions, place);
        return Ok(Created::Stream(headers, stream.into_response()));
    }
    let chat_run = chat::start(&app.runs, caller.principal, RunId::random(), request).await?;
    let headers = headers(&chat_run.run);
    if in_background {
        let response = response_of(&app.runs, chat_run.run.clone()).await?;
        chat_run.end();
        return Ok(Created::Whole(headers, Box::new(response.with_instructions(instructions))));
    }
    let whole = completed(&app.runs, &chat_run.run).await.map_err(|error| failed(error, &headers));
    chat_run.end();
    whole.map(|response| Created::Whole(headers, Box::new(response.with_instructions(instructions))))
}

pub(super) async fn show(
    State(app): State<App>,
    caller: Caller<RunsWrite>,
    Path(id): Path<ResponseId>,
) -> Result<Body<ModelResponse>> {
    let run = own(&app.runs, &caller, &id).await?;
    Ok(Body(response_of(&app.runs, run).await?))
}

pub(super) async fn cancel(
    State(app): State<App>,
    caller: Caller<RunsWrite>,
    Path(id): Path<ResponseId>,
) -> Result<Body<ModelResponse>> {
    let mut run = own(&app.runs, &caller, &id).await?;
    if run.status.is_open() {
        run = runs::stop(&app.runs, &caller.principal, run, Stop::Now).await?;
    }
    Ok(Body(response_of(&app.runs, run).await?))
}

pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller<RunsWrite>,
    Path(id): Path<ResponseId>,
) -> Result<Body<DeletedResponse>> {
    let run = own(&app.runs, &caller, &id).await?;
    runs::delete(&app.runs, caller.principal, &run.agent_id, run.run_id).await?;
    Ok(Body(DeletedResponse::new(id.to_string())))
}

/// Returns the run of a response of this token.
async fn own(runs: &Runs, caller: &Caller<RunsWrite>, id: &ResponseId) -> CoreResult<Run> {
    let unknown = || Error::not_found("response", id);
    let run = match runs::find(runs, &id.0).await {
        Err(Error::NotFound(_)) => return Err(unknown()),
        found => found?,
    };
    let is_own = run.origin == Origin::Responses && run.started_by == caller.principal.name();
    if is_own { Ok(run) } else { Err(unknown()) }
}

/// Waits for the end of a run, and returns its response, or the reason why there is none.
async fn completed(runs: &Runs, run: &Run) -> CoreResult<ModelResponse> {
    let run = chat::ended(runs, run).await?;
    let answer = chat::answer(runs, &run.agent_id, &run.run_id).await?;
    Ok(ModelResponse::new(&run).completed(answer))
}

/// Returns the response as it is now.
async fn response_of(runs: &Runs, run: Run) -> CoreResult<ModelResponse> {
    let response = ModelResponse::new(&run);
    if run.status.is_open() {
        return Ok(response);
    }
    match chat::answer(runs, &run.agent_id, &run.run_id).await {
        Ok(answer) => Ok(response.completed(answer)),
        Err(Error::NotFound(problem)) => Err(Error::NotFound(problem)),
        Err(error) => Ok(response.failed(&ApiError::from(error))),
    }
}
