//! Cases for the end of a completion: usage, stop reason and cancellation.

use super::{CaseResult, Fault};
use crate::{
    harness::Harness,
    request,
    script::{Reason, Script, TokenUsage},
    service::{Piece, Reply, Service},
    transcript::Transcript,
    wire::Style,
};

pub(super) async fn usage(harness: &Harness<'_>) -> CaseResult {
    check_usage(harness, &Script::plain()).await
}

pub(super) async fn usage_parts(harness: &Harness<'_>) -> CaseResult {
    if !harness.profile.has_placeholder("$cached_tokens") && !harness.profile.has_placeholder("$reasoning_tokens") {
        return Err(Fault::Skipped("the wire tells no parts"));
    }
    check_usage(harness, &Script { usage: TokenUsage::CACHED, ..Script::plain() }).await
}

async fn check_usage(harness: &Harness<'_>, script: &Script) -> CaseResult {
    if !harness.profile.has_placeholder("$output_tokens") && !harness.profile.has_placeholder("$answer_tokens") {
        return Err(Fault::Skipped("the wire tells no usage"));
    }
    let transcript = harness.run_completion(harness.script_reply(script, Style::Plain)).await;
    transcript.check_complete()?;
    Ok(transcript.check_usage(script, &harness.profile)?)
}

pub(super) async fn end_turn(harness: &Harness<'_>) -> CaseResult {
    check_stop(harness, Reason::EndTurn).await
}

pub(super) async fn tool_use(harness: &Harness<'_>) -> CaseResult {
    check_stop(harness, Reason::ToolUse).await
}

pub(super) async fn max_tokens(harness: &Harness<'_>) -> CaseResult {
    check_stop(harness, Reason::MaxTokens).await
}

pub(super) async fn refusal(harness: &Harness<'_>) -> CaseResult {
    check_stop(harness, Reason::Refusal).await
}

pub(super) async fn other(harness: &Harness<'_>) -> CaseResult {
    check_stop(harness, Reason::Other).await
}

async fn check_stop(harness: &Harness<'_>, stop: Reason) -> CaseResult {
    if !harness.profile.stops.contains_key(&stop) {
        return Err(Fault::Skipped("the wire does not say that"));
    }
    let script = match stop {
        Reason::ToolUse => Script::calling(),
        stop => Script { stop, ..Script::plain() },
    };
    let transcript = harness.run_completion(harness.script_reply(&script, Style::Plain)).await;
    transcript.check_complete()?;
    Ok(transcript.check_stop(stop, &harness.profile)?)
}

/// The service stalls after the first chunk, and the host drops the completion.
pub(super) async fn dropped_mid_stream(harness: &Harness<'_>) -> CaseResult {
    let beginning = Script::plain().beginning(&harness.profile).concat();
    let reply = harness.stream_reply(vec![Piece::Bytes(beginning.into()), Piece::Stall]);
    let service = Service::new(&harness.monitor, move |_| reply.clone());
    let failed = |failure: moxxy_runtime::Failure| Fault::Failed(failure.message().to_owned());
    let (mut transcript, mut completion) =
        (Transcript::default(), harness.start_completion(&service, request::plain()).await.map_err(failed)?);
    while transcript.text.is_empty() {
        if harness.next(&mut completion, &mut transcript, &service).await.is_none() {
            let why = format!("expected the first piece of text, came none: {}", transcript.message());
            return Err(why.into());
        }
    }
    drop(completion);
    harness.with_timeout(service.closed()).await.map_err(|_| "the connection stayed open".to_owned().into())
}

pub(super) async fn dropped_before_response(harness: &Harness<'_>) -> CaseResult {
    let service = Service::new(&harness.monitor, |_| Reply::Never);
    let failed = |failure: moxxy_runtime::Failure| Fault::Failed(failure.message().to_owned());
    let mut completion = harness.start_completion(&service, request::plain()).await.map_err(failed)?;
    let request_received = service.request_received();
    tokio::select! {
        request_received = harness.with_timeout(request_received) => request_received.map_err(failed)?,
        _ = completion.next() => return Err("it ended before the service answered".to_owned().into()),
    }
    drop(completion);
    harness.with_timeout(service.closed()).await.map_err(|_| "the connection stayed open".to_owned().into())
}
