//! `/v1/chat/completions`: agents as models, for clients of OpenAI's API.

pub(super) mod client_tools;
mod completion;
pub(super) mod conversation;
mod request;
mod stream;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue},
};
use moxxy_system::fair_semaphore::FairPermit;
use moxxy_types::{
    clock,
    error::Error,
    ids::{Name, RunId},
    runs::{Origin, Run},
};

use crate::{
    app::App,
    http::api::{
        answer::{ApiError, Result},
        auth::{Caller, RunsWrite},
        extract::Json,
        idempotency::{REPLAYED, TRUE},
        prefer::Claimed,
        reply,
    },
    services::{
        chat::{self, Answer, Attempt, OutputStream},
        runs::Runs,
    },
};

pub(super) use completion::{Completed, Completion};
pub(super) use request::{Request, output_schema};

/// Header in which some clients of OpenAI's API count how often they repeated a request.
const RETRY_COUNT: HeaderName = HeaderName::from_static("x-stainless-retry-count");
/// Header that tells clients of OpenAI's API whether to retry a request.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Maximum length of the name of an unknown agent in an error, in characters.
const NAME: usize = 64;

pub(super) async fn complete(
    State(app): State<App>,
    caller: Caller<RunsWrite>,
    Claimed(claim): Claimed,
    asked: HeaderMap,
    Json(request): Json<Request>,
) -> Result<Completed> {
    let request::ParsedRequest { agent, conversation, format } = request.parse()?;
    let place = place(&app, &caller)?;
    // A stream cannot be replayed.
    let claim = claim.filter(|_| format.is_none());
    let attempt = attempt(&asked);
    let origin = Origin::ChatCompletions;
    let request = chat::Request { agent, origin, conversation, attempt, in_background: false, claim };
    if let Some(format) = format {
        let (chat_run, output) = OutputStream::start(&app.runs, caller.principal, request).await?;
        let headers = headers(&chat_run.run);
        let stream = stream::CompletionStream { runs: app.runs, chat_run, output, format, _place: place };
        return Ok(Completed::Stream(headers, stream.into_response()));
    }
    let chat_run = chat::start(&app.runs, caller.principal, RunId::random(), request).await?;
    let mut headers = headers(&chat_run.run);
    headers.extend(chat_run.before.then_some((REPLAYED, TRUE)));
    let whole = completion(&app.runs, &chat_run.run).await.map_err(|error| failed(error, &headers));
    chat_run.end();
    whole.map(|completion| Completed::Whole(headers, completion))
}

/// Returns a place for a client that waits for an answer.
pub(super) fn place(app: &App, caller: &Caller<RunsWrite>) -> Result<FairPermit<String>, Error> {
    let full = || Error::unavailable("busy", "As many clients wait for answers as may; try again later");
    app.events.try_stream(&caller.principal).ok_or_else(full)
}

/// Returns the error for a run without an answer. It says if another attempt cannot succeed.
pub(super) fn failed(error: Error, headers: &HeaderMap) -> ApiError {
    let may_succeed = matches!(error, Error::Exhausted(_) | Error::Unavailable(_));
    let answer = ApiError::from(error);
    let answer = if may_succeed { answer } else { answer.with(SHOULD_RETRY, HeaderValue::from_static("false")) };
    headers.iter().fold(answer, |answer, (name, value)| answer.with(name.clone(), value.clone()))
}

/// Returns the agent that a client names as its model.
pub(super) fn agent(model: &str) -> Result<Name, Error> {
    Name::try_from(model.to_owned())
        .map_err(|_| Error::not_found("agent", model.chars().take(NAME).collect::<String>()))
}

pub(super) fn attempt(headers: &HeaderMap) -> Attempt {
    let count = headers.get(RETRY_COUNT).and_then(|count| count.to_str().ok()?.parse::<u32>().ok());
    Attempt { may_be_repeated: count.is_some(), is_repeated: count.is_some_and(|count| count > 0) }
}

async fn completion(runs: &Runs, run: &Run) -> Result<Completion, Error> {
    let run = chat::ended(runs, run).await?;
    let answer = chat::answer(runs, &run.agent_id, &run.run_id).await?;
    Ok(Completion::new(&run, answer))
}

/// Returns the headers of an answer.
pub(super) fn headers(run: &Run) -> HeaderMap {
    let id = HeaderValue::from_str(run.run_id.as_str()).ok();
    id.into_iter().map(|id| (reply::RUN_ID, id)).collect()
}

/// Returns when a run was created, in seconds since 1970.
fn created(run: &Run) -> i64 {
    clock::parse(&run.created_at).map_or(0, |created| created.unix_timestamp())
}

/// Returns OpenAI's `finish_reason` of an answer.
fn finish(answer: &Answer) -> &'static str {
    match &*answer.stop_reason {
        _ if !answer.calls.is_empty() => "tool_calls",
        "max_tokens" => "length",
        "refusal" => "content_filter",
        _ => "stop",
    }
}
