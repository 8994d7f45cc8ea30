//! `/v1/chat/completions`: agents as models, for clients of OpenAI's API.

mod completion;
pub(super) mod conversation;
mod request;
mod stream;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue},
};
use moxxy_types::{clock, error::Error, ids::RunId, runs::Run};

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
        chat::{self, Attempt, OutputStream},
        runs::Runs,
    },
};

pub(super) use completion::{Completed, Completion};
pub(super) use request::Request;

/// Header in which some clients of OpenAI's API count how often they repeated a request.
const RETRY_COUNT: HeaderName = HeaderName::from_static("x-stainless-retry-count");
/// Header that tells clients of OpenAI's API whether to retry a request.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

pub(super) async fn complete(
    State(app): State<App>,
    caller: Caller<RunsWrite>,
    Claimed(claim): Claimed,
    asked: HeaderMap,
    Json(request): Json<Request>,
) -> Result<Completed> {
    let request::ParsedRequest { agent, conversation, format } = request.parse()?;
    let full = || Error::unavailable("busy", "As many clients wait for answers as may; try again later");
    let place = app.events.try_stream(&caller.principal).ok_or_else(full)?;
    let (id, attempt) = (RunId::random(), attempt(&asked));
    if let Some(format) = format {
        // Subscribes before the run exists, so that no output is missed.
        let stop = conversation.options.stop.clone();
        let mut output = OutputStream::new(&app.runs, &id, false, stop.clone()).await?;
        let chat_run = chat::start(&app.runs, caller.principal, agent, id, conversation, attempt, None).await?;
        if chat_run.before {
            output = OutputStream::new(&app.runs, &chat_run.run.run_id, true, stop).await?;
        }
        let headers = headers(&chat_run.run);
        let stream = stream::CompletionStream { runs: app.runs, chat_run, output, format, _place: place };
        return Ok(Completed::Stream(headers, stream.into_response()));
    }
    let chat_run = chat::start(&app.runs, caller.principal, agent, id, conversation, attempt, claim).await?;
    let mut headers = headers(&chat_run.run);
    headers.extend(chat_run.before.then_some((REPLAYED, TRUE)));
    let whole = completion(&app.runs, &chat_run.run).await.map_err(|error| {
        let may_succeed = matches!(error, Error::Exhausted(_) | Error::Unavailable(_));
        let answer = ApiError::from(error);
        let answer = match may_succeed {
            true => answer,
            false => answer.with(SHOULD_RETRY, HeaderValue::from_static("false")),
        };
        headers.iter().fold(answer, |answer, (name, value)| answer.with(name.clone(), value.clone()))
    });
    chat_run.end();
    whole.map(|completion| Completed::Whole(headers, completion))
}

fn attempt(headers: &HeaderMap) -> Attempt {
    let count = headers.get(RETRY_COUNT).and_then(|count| count.to_str().ok()?.parse::<u32>().ok());
    Attempt { may_be_repeated: count.is_some(), is_repeated: count.is_some_and(|count| count > 0) }
}

async fn completion(runs: &Runs, run: &Run) -> Result<Completion, Error> {
    let run = chat::ended(runs, run).await?;
    let answer = chat::answer(runs, &run.agent_id, &run.run_id).await?;
    Ok(Completion::new(&run, answer))
}

fn headers(run: &Run) -> HeaderMap {
    let id = HeaderValue::from_str(run.run_id.as_str()).ok();
    id.into_iter().map(|id| (reply::RUN_ID, id)).collect()
}

/// Returns when a run was created, in seconds since 1970.
fn created(run: &Run) -> i64 {
    clock::parse(&run.created_at).map_or(0, |created| created.unix_timestamp())
}

/// Maps a stop reason to OpenAI's `finish_reason`.
fn finish(stop_reason: &str) -> &'static str {
    match stop_reason {
        "max_tokens" => "length",
        "refusal" => "content_filter",
        _ => "stop",
    }
}
