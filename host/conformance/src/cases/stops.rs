//! Cases for the end of a completion: usage, stop reason and cancellation.

use super::{Fault, Tried};
use crate::{
    harness::Harness,
    request,
    script::{Reason, Script, Used},
    service::{Piece, Reply, Service},
    transcript::Transcript,
    wire::Style,
};

pub async fn usage(bench: &Harness<'_>) -> Tried {
    used(bench, &Script::plain()).await
}

pub async fn parts(bench: &Harness<'_>) -> Tried {
    if !bench.wire.says("$cached_tokens") && !bench.wire.says("$reasoning_tokens") {
        return Err(Fault::Skipped("the wire tells no parts"));
    }
    used(bench, &Script { used: Used::CACHED, ..Script::plain() }).await
}

async fn used(bench: &Harness<'_>, script: &Script) -> Tried {
    if !bench.wire.says("$output_tokens") {
        return Err(Fault::Skipped("the wire tells no usage"));
    }
    let heard = bench.run_completion(bench.says(script, Style::Plain)).await;
    heard.is_whole()?;
    Ok(heard.used(script, &bench.wire)?)
}

pub async fn end_turn(bench: &Harness<'_>) -> Tried {
    stops(bench, Reason::EndTurn).await
}

pub async fn tool_use(bench: &Harness<'_>) -> Tried {
    stops(bench, Reason::ToolUse).await
}

pub async fn max_tokens(bench: &Harness<'_>) -> Tried {
    stops(bench, Reason::MaxTokens).await
}

pub async fn refusal(bench: &Harness<'_>) -> Tried {
    stops(bench, Reason::Refusal).await
}

pub async fn other(bench: &Harness<'_>) -> Tried {
    stops(bench, Reason::Other).await
}

async fn stops(bench: &Harness<'_>, stop: Reason) -> Tried {
    if !bench.wire.stops.contains_key(&stop) {
        return Err(Fault::Skipped("the wire does not say that"));
    }
    let script = match stop {
        Reason::ToolUse => Script::calling(),
        stop => Script { stop, ..Script::plain() },
    };
    let heard = bench.run_completion(bench.says(&script, Style::Plain)).await;
    heard.is_whole()?;
    Ok(heard.stopped(stop, &bench.wire)?)
}

/// The service stalls after the first chunk, and the host drops the completion.
pub async fn midst(bench: &Harness<'_>) -> Tried {
    let beginning = Script::plain().beginning(&bench.wire).concat();
    let reply = bench.stream(vec![Piece::Bytes(beginning.into()), Piece::Stall]);
    let service = Service::new(&bench.monitor, move |_| reply.clone());
    let failed = |failure: moxxy_runtime::Failure| Fault::Failed(failure.message().to_owned());
    let (mut heard, mut completion) =
        (Transcript::default(), bench.begin(&service, request::plain()).await.map_err(failed)?);
    while heard.text.is_empty() {
        if bench.next(&mut completion, &mut heard, &service).await.is_none() {
            let why = format!("expected the first piece of text, came none: {}", heard.message());
            return Err(why.into());
        }
    }
    drop(completion);
    bench.waited(service.closed()).await.map_err(|_| "the connection stayed open".to_owned().into())
}

pub async fn early(bench: &Harness<'_>) -> Tried {
    let service = Service::new(&bench.monitor, |_| Reply::Never);
    let failed = |failure: moxxy_runtime::Failure| Fault::Failed(failure.message().to_owned());
    let mut completion = bench.begin(&service, request::plain()).await.map_err(failed)?;
    let asked = service.asked();
    tokio::select! {
        asked = bench.waited(asked) => asked.map_err(failed)?,
        _ = completion.next() => return Err("it ended before the service answered".to_owned().into()),
    }
    drop(completion);
    bench.waited(service.closed()).await.map_err(|_| "the connection stayed open".to_owned().into())
}
