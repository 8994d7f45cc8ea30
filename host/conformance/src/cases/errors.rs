//! Cases for failures of the service.

use std::time::Duration;

use bytes::Bytes;
use moxxy_egress::{Error, TimeoutPhase};
use serde_json::json;

use super::{Fault, Tried};
use crate::{
    harness::Harness,
    script::{Kind, MESSAGE, Script, TEXT},
    service::{Piece, Reply},
    wire::{Style, Values},
};

/// Error kinds that a status alone implies.
const STATUSES: [(u16, Kind); 8] = [
    (400, Kind::InvalidRequest),
    (401, Kind::Authentication),
    (404, Kind::InvalidRequest),
    (429, Kind::RateLimited),
    (500, Kind::Overloaded),
    (502, Kind::Overloaded),
    (503, Kind::Overloaded),
    (529, Kind::Overloaded),
];
const PAGE: &str = "<!DOCTYPE html><html><body><h1>Bad gateway</h1></body></html>";
/// Maximum length of a useful error message, in bytes.
const LONGEST: usize = 16 * 1024;

pub async fn every_cut(bench: &Harness<'_>) -> Tried {
    let script = Script::whole(&bench.wire);
    let whole = Bytes::from(script.body(&bench.wire, Style::Plain));
    // The terminator of the last event may be missing.
    for place in 0..whole.trim_ascii_end().len() {
        let heard = bench.run_completion(bench.stream(vec![Piece::Bytes(whole.slice(..place))])).await;
        let held = heard.failed(Kind::Transport, &TEXT.concat());
        held.map_err(|why| format!("ended after {place} of {} bytes: {why}", whole.len()))?;
    }
    Ok(())
}

pub async fn broken(bench: &Harness<'_>) -> Tried {
    let beginning = Script::plain().beginning(&bench.wire).concat();
    let heard = bench.run_completion(bench.stream(vec![Piece::Bytes(beginning.into()), Piece::Break])).await;
    heard.failed(Kind::Transport, &TEXT.concat())?;
    if heard.text.is_empty() {
        return Err("expected the text that came before, came none".to_owned().into());
    }
    Ok(())
}

pub async fn kinds(bench: &Harness<'_>) -> Tried {
    let body = bench.wire.error.filled(&message());
    for (status, kind) in STATUSES {
        refused_as(bench, status, body.clone(), kind).await?;
    }
    Ok(())
}

/// Checks that an error in the profile's format has this kind and contains the service's message.
async fn refused_as(bench: &Harness<'_>, status: u16, body: String, kind: Kind) -> Tried {
    let heard = bench.run_completion(Reply::new(status, body).header("Content-Type", "application/json")).await;
    heard.failed(kind, "").map_err(|why| format!("{status}: {why}"))?;
    if heard.message().contains(MESSAGE) {
        return Ok(());
    }
    Err(format!("{status}: expected the sentence {MESSAGE:?}, came {:.200?}", heard.message()).into())
}

pub async fn retry_after(bench: &Harness<'_>) -> Tried {
    for (status, kind) in [(429, Kind::RateLimited), (503, Kind::Overloaded)] {
        for (header, wait) in [(Some("7"), Some(7000)), (None, None)] {
            let reply = Reply::new(status, bench.wire.error.filled(&message()));
            let reply = header.iter().fold(reply, |reply, seconds| reply.header("Retry-After", *seconds));
            let heard = bench.run_completion(reply).await;
            heard.failed(kind, "").map_err(|why| format!("{status}: {why}"))?;
            if heard.retry_after() != wait {
                let came = heard.retry_after();
                return Err(format!("{status}: expected to wait {wait:?} ms, came {came:?}").into());
            }
        }
    }
    Ok(())
}

pub async fn bodies(bench: &Harness<'_>) -> Tried {
    let huge = json!({ "odd": "x".repeat(1_000_000) }).to_string();
    let bodies: [(&str, Bytes); 7] = [
        ("no body", Bytes::new()),
        ("a page", PAGE.into()),
        ("a text", "out of order".into()),
        ("other JSON", "[1, { \"odd\": null }]".into()),
        ("broken JSON", "{\"error\": {\"mess".into()),
        ("broken UTF-8", Bytes::from_static(b"\xff\xfe{\"\xc3")),
        ("a huge body", huge.into()),
    ];
    for (name, body) in bodies {
        for (status, kind) in STATUSES {
            let heard = bench.run_completion(Reply::new(status, body.clone())).await;
            heard.failed(kind, "").map_err(|why| format!("{status} with {name}: {why}"))?;
            if heard.message().len() > LONGEST || heard.message().contains("<html") {
                return Err(format!("{status} with {name}: expected a sentence, came {:.100?}", heard.message()).into());
            }
        }
    }
    Ok(())
}

pub async fn too_long(bench: &Harness<'_>) -> Tried {
    refusals(bench, |kind| kind == Kind::ContextTooLong).await
}

pub async fn refused(bench: &Harness<'_>) -> Tried {
    refusals(bench, |kind| kind == Kind::Refused).await
}

pub async fn named(bench: &Harness<'_>) -> Tried {
    refusals(bench, |kind| !matches!(kind, Kind::ContextTooLong | Kind::Refused)).await
}

async fn refusals(bench: &Harness<'_>, which: impl Fn(Kind) -> bool) -> Tried {
    let mut any = false;
    for refusal in bench.wire.refusals.iter().filter(|refusal| which(refusal.kind)) {
        any = true;
        refused_as(bench, refusal.status, refusal.body.filled(&message()), refusal.kind).await?;
    }
    if any { Ok(()) } else { Err(Fault::Skipped("the wire has no such error")) }
}

pub async fn in_stream(bench: &Harness<'_>) -> Tried {
    if bench.wire.failures.is_empty() {
        return Err(Fault::Skipped("the wire has no errors in its streams"));
    }
    for failure in &bench.wire.failures {
        let mut text = Script::plain().beginning(&bench.wire).concat();
        text.extend(failure.events.iter().map(|event| bench.wire.event(event, &message(), Style::Plain)));
        let heard = bench.run_completion(bench.stream(vec![Piece::Bytes(text.into())])).await;
        heard.failed(failure.kind, &TEXT.concat())?;
        if heard.text.is_empty() || !heard.message().contains(MESSAGE) {
            return Err(format!(
                "expected text, then {MESSAGE:?}; came {:?}, then {:.200?}",
                heard.text,
                heard.message()
            )
            .into());
        }
    }
    Ok(())
}

pub async fn unreachable(bench: &Harness<'_>) -> Tried {
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
        let heard = bench.run_completion(Reply::Fails(error)).await;
        heard.failed(Kind::Transport, "").map_err(|found| format!("{why}: {found}"))?;
    }
    Ok(())
}

pub async fn garbage(bench: &Harness<'_>) -> Tried {
    let script = Script::plain();
    let broken = script.body(&bench.wire, Style::Plain).replacen("{\"", "{{\"", 1);
    let streams: [(&str, &str, Bytes); 4] = [
        ("a page", "text/html", PAGE.into()),
        ("no body", &bench.wire.media_type, Bytes::new()),
        ("broken JSON", &bench.wire.media_type, broken.into()),
        ("noise", &bench.wire.media_type, Bytes::from_static(b"\x00\xff\xfe\n\n\x80\x80data: \xff\n\n{]\n")),
    ];
    for (name, media_type, body) in streams {
        let heard = bench.run_completion(Reply::new(200, body).header("Content-Type", media_type)).await;
        heard.failed(Kind::Transport, "").map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(())
}

fn message() -> Values {
    [("message".to_owned(), json!(MESSAGE))].into_iter().collect()
}
