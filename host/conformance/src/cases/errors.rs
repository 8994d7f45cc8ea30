//! Cases for failures of the service.

use std::time::Duration;

use bytes::Bytes;
use moxxy_egress::{Error, TimeoutPhase};
use serde_json::json;

use super::{CaseResult, Fault};
use crate::{
    harness::Harness,
    script::{ERROR_MESSAGE, Kind, Script, TEXT_CHUNKS},
    service::{Piece, Reply},
    wire::{Style, Values},
};

/// Error kinds that a status alone implies.
const STATUS_KINDS: [(u16, Kind); 8] = [
    (400, Kind::InvalidRequest),
    (401, Kind::Authentication),
    (404, Kind::InvalidRequest),
    (429, Kind::RateLimited),
    (500, Kind::Overloaded),
    (502, Kind::Overloaded),
    (503, Kind::Overloaded),
    (529, Kind::Overloaded),
];
const HTML_PAGE: &str = "<!DOCTYPE html><html><body><h1>Bad gateway</h1></body></html>";
/// Maximum length of a useful error message, in bytes.
const MAX_MESSAGE_BYTES: usize = 16 * 1024;

pub(super) async fn truncated_at_every_byte(harness: &Harness<'_>) -> CaseResult {
    let script = Script::full(&harness.profile);
    let whole = Bytes::from(script.body(&harness.profile, Style::Plain));
    let reference = harness.run_completion(harness.script_reply(&script, Style::Plain)).await;
    reference.check_complete()?;
    // The terminator of the last event may be missing.
    for place in 0..whole.trim_ascii_end().len() {
        let transcript = harness.run_completion(harness.stream_reply(vec![Piece::Bytes(whole.slice(..place))])).await;
        // Behind the reason why the model stopped, only the usage may be missing.
        if transcript.check_same_answer(&reference).is_ok() {
            continue;
        }
        let check = transcript.check_failed(Kind::Transport, &TEXT_CHUNKS.concat());
        check.map_err(|why| format!("ended after {place} of {} bytes: {why}", whole.len()))?;
    }
    Ok(())
}

pub(super) async fn connection_broken(harness: &Harness<'_>) -> CaseResult {
    let beginning = Script::plain().beginning(&harness.profile).concat();
    let transcript =
        harness.run_completion(harness.stream_reply(vec![Piece::Bytes(beginning.into()), Piece::Break])).await;
    transcript.check_failed(Kind::Transport, &TEXT_CHUNKS.concat())?;
    if transcript.text.is_empty() {
        return Err("expected the text that came before, came none".to_owned().into());
    }
    Ok(())
}

pub(super) async fn error_kinds(harness: &Harness<'_>) -> CaseResult {
    let body = harness.profile.error.render(&message_values());
    for (status, kind) in STATUS_KINDS {
        expect_error(harness, status, body.clone(), kind).await?;
    }
    Ok(())
}

/// Checks that an error in the profile's format has this kind and contains the service's message.
async fn expect_error(harness: &Harness<'_>, status: u16, body: String, kind: Kind) -> CaseResult {
    let transcript = harness.run_completion(Reply::new(status, body).header("Content-Type", "application/json")).await;
    transcript.check_failed(kind, "").map_err(|why| format!("{status}: {why}"))?;
    if transcript.message().contains(ERROR_MESSAGE) {
        return Ok(());
    }
    Err(format!("{status}: expected the sentence {ERROR_MESSAGE:?}, came {:.200?}", transcript.message()).into())
}

pub(super) async fn retry_after(harness: &Harness<'_>) -> CaseResult {
    for (status, kind) in [(429, Kind::RateLimited), (503, Kind::Overloaded)] {
        for (header, wait) in [(Some("7"), Some(7000)), (None, None)] {
            let reply = Reply::new(status, harness.profile.error.render(&message_values()));
            let reply = header.iter().fold(reply, |reply, seconds| reply.header("Retry-After", *seconds));
            let transcript = harness.run_completion(reply).await;
            transcript.check_failed(kind, "").map_err(|why| format!("{status}: {why}"))?;
            if transcript.retry_after() != wait {
                let actual = transcript.retry_after();
                return Err(format!("{status}: expected to wait {wait:?} ms, came {actual:?}").into());
            }
        }
    }
    Ok(())
}

pub(super) async fn error_bodies(harness: &Harness<'_>) -> CaseResult {
    let huge = json!({ "odd": "x".repeat(1_000_000) }).to_string();
    let bodies: [(&str, Bytes); 7] = [
        ("no body", Bytes::new()),
        ("a page", HTML_PAGE.into()),
        ("a text", "out of order".into()),
        ("other JSON", "[1, { \"odd\": null }]".into()),
        ("broken JSON", "{\"error\": {\"mess".into()),
        ("broken UTF-8", Bytes::from_static(b"\xff\xfe{\"\xc3")),
        ("a huge body", huge.into()),
    ];
    for (name, body) in bodies {
        for (status, kind) in STATUS_KINDS {
            let transcript = harness.run_completion(Reply::new(status, body.clone())).await;
            transcript.check_failed(kind, "").map_err(|why| format!("{status} with {name}: {why}"))?;
            if transcript.message().len() > MAX_MESSAGE_BYTES || transcript.message().contains("<html") {
                return Err(
                    format!("{status} with {name}: expected a sentence, came {:.100?}", transcript.message()).into()
                );
            }
        }
    }
    Ok(())
}

pub(super) async fn context_too_long(harness: &Harness<'_>) -> CaseResult {
    expect_refusals(harness, |kind| kind == Kind::ContextTooLong).await
}

pub(super) async fn content_refused(harness: &Harness<'_>) -> CaseResult {
    expect_refusals(harness, |kind| kind == Kind::Refused).await
}

pub(super) async fn named_errors(harness: &Harness<'_>) -> CaseResult {
    expect_refusals(harness, |kind| !matches!(kind, Kind::ContextTooLong | Kind::Refused)).await
}

async fn expect_refusals(harness: &Harness<'_>, which: impl Fn(Kind) -> bool) -> CaseResult {
    let mut any = false;
    for refusal in harness.profile.refusals.iter().filter(|refusal| which(refusal.kind)) {
        any = true;
        expect_error(harness, refusal.status, refusal.body.render(&message_values()), refusal.kind).await?;
    }
    if any { Ok(()) } else { Err(Fault::Skipped("the wire has no such error")) }
}

pub(super) async fn error_in_stream(harness: &Harness<'_>) -> CaseResult {
    if harness.profile.failures.is_empty() {
        return Err(Fault::Skipped("the wire has no errors in its streams"));
    }
    for failure in &harness.profile.failures {
        let mut text = Script::plain().beginning(&harness.profile).concat();
        text.extend(failure.events.iter().map(|event| harness.profile.event(event, &message_values(), &Style::Plain)));
        let transcript = harness.run_completion(harness.stream_reply(vec![Piece::Bytes(text.into())])).await;
        transcript.check_failed(failure.kind, &TEXT_CHUNKS.concat())?;
        if transcript.text.is_empty() || !transcript.message().contains(ERROR_MESSAGE) {
            return Err(format!(
                "expected text, then {ERROR_MESSAGE:?}; came {:?}, then {:.200?}",
                transcript.text,
                transcript.message()
            )
            .into());
        }
    }
    Ok(())
}

pub(super) async fn unreachable(harness: &Harness<'_>) -> CaseResult {
    let host = || "service.example".to_owned();
    let errors = [
        Error::UnresolvedName(host()),
        Error::Unreachable { host: host(), reason: "connection refused".to_owned() },
        Error::Tls { host: host(), reason: "it is out of date".to_owned(), certificate: true },
        Error::Timeout(TimeoutPhase::ResponseHead, Duration::from_secs(60)),
        Error::Broken("reset".to_owned()),
    ];
    for error in errors {
        let why = error.to_string();
        let transcript = harness.run_completion(Reply::Fails(error)).await;
        transcript.check_failed(Kind::Transport, "").map_err(|found| format!("{why}: {found}"))?;
    }
    Ok(())
}

pub(super) async fn malformed_stream(harness: &Harness<'_>) -> CaseResult {
    let script = Script::plain();
    let broken = script.body(&harness.profile, Style::Plain).replacen("{\"", "{{\"", 1);
    let streams: [(&str, &str, Bytes); 4] = [
        ("a page", "text/html", HTML_PAGE.into()),
        ("no body", &harness.profile.media_type, Bytes::new()),
        ("broken JSON", &harness.profile.media_type, broken.into()),
        ("noise", &harness.profile.media_type, Bytes::from_static(b"\x00\xff\xfe\n\n\x80\x80data: \xff\n\n{]\n")),
    ];
    for (name, media_type, body) in streams {
        let transcript = harness.run_completion(Reply::new(200, body).header("Content-Type", media_type)).await;
        transcript.check_failed(Kind::Transport, "").map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(())
}

fn message_values() -> Values {
    [("message".to_owned(), json!(ERROR_MESSAGE))].into_iter().collect()
}
