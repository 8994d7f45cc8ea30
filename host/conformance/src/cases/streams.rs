//! Cases for different encodings of the same stream.

use bytes::Bytes;

use super::{Fault, Tried};
use crate::{
    harness::Harness,
    script::{Call, Reason, Script},
    service::Piece,
    transcript::Transcript,
    wire::Style,
};

pub async fn plain(bench: &Harness<'_>) -> Tried {
    heard(bench, &Script::plain()).await
}

pub async fn escaped(bench: &Harness<'_>) -> Tried {
    same(bench, Style::Escaped).await
}

pub async fn framing(bench: &Harness<'_>) -> Tried {
    same(bench, Style::Loose).await
}

pub async fn fields(bench: &Harness<'_>) -> Tried {
    same(bench, Style::NewFields).await
}

pub async fn events(bench: &Harness<'_>) -> Tried {
    if bench.wire.unknown.is_empty() {
        return Err(Fault::Skipped("the wire has no other events"));
    }
    same(bench, Style::NewEvents).await
}

/// Sends the first chunk, and the rest only after the host has received it.
pub async fn prompt(bench: &Harness<'_>) -> Tried {
    let script = Script::plain();
    let beginning = script.beginning(&bench.wire).concat();
    let whole = Bytes::from(script.body(&bench.wire, Style::Plain));
    let pieces =
        vec![Piece::Bytes(whole.slice(..beginning.len())), Piece::Heard, Piece::Bytes(whole.slice(beginning.len()..))];
    let heard = bench.run_completion(bench.stream(pieces)).await;
    if heard.text.is_empty() {
        return Err("expected the first piece of text before the rest was sent, came nothing".to_owned().into());
    }
    Ok(heard.is(&script, &bench.wire)?)
}

pub async fn every_byte(bench: &Harness<'_>) -> Tried {
    let script = Script::whole(&bench.wire);
    let whole = Bytes::from(script.body(&bench.wire, Style::Plain));
    split(bench, &script, &whole, 0..=whole.len()).await
}

pub async fn letters(bench: &Harness<'_>) -> Tried {
    let script = Script::plain();
    let text = script.body(&bench.wire, Style::Plain);
    let within: Vec<usize> = (0..text.len()).filter(|place| !text.is_char_boundary(*place)).collect();
    split(bench, &script, &Bytes::from(text), within).await
}

async fn split(bench: &Harness<'_>, script: &Script, whole: &Bytes, places: impl IntoIterator<Item = usize>) -> Tried {
    let known = at_once(bench, script).await?;
    for place in places {
        let (before, after) = (whole.slice(..place), whole.slice(place..));
        let reply = bench.stream(vec![Piece::Bytes(before), Piece::Pause, Piece::Bytes(after)]);
        let held = bench.run_completion(reply).await.says(&known);
        held.map_err(|why| format!("cut after {place} of {} bytes: {why}", whole.len()))?;
    }
    Ok(())
}

pub async fn drip(bench: &Harness<'_>) -> Tried {
    let script = Script::whole(&bench.wire);
    let whole = Bytes::from(script.body(&bench.wire, Style::Plain));
    let drop = |place: usize| [Piece::Bytes(whole.slice(place..=place)), Piece::Pause];
    let drops = (0..whole.len()).flat_map(drop).collect();
    let known = at_once(bench, &script).await?;
    Ok(bench.run_completion(bench.stream(drops)).await.says(&known)?)
}

/// Returns the transcript of an ordinary stream, as a reference. Other cases check its content.
async fn at_once(bench: &Harness<'_>, script: &Script) -> Result<Transcript, Fault> {
    let heard = bench.run_completion(bench.says(script, Style::Plain)).await;
    heard.is_whole()?;
    Ok(heard)
}

/// Checks that a variation of the stream has the same content.
async fn same(bench: &Harness<'_>, style: Style) -> Tried {
    let script = Script::whole(&bench.wire);
    let known = at_once(bench, &script).await?;
    Ok(bench.run_completion(bench.says(&script, style)).await.says(&known)?)
}

pub async fn thought(bench: &Harness<'_>) -> Tried {
    if bench.wire.thought.piece.is_empty() {
        return Err(Fault::Skipped("the wire has no thoughts"));
    }
    heard(bench, &Script::thinking()).await
}

pub async fn one_call(bench: &Harness<'_>) -> Tried {
    let mut script = Script::calling();
    script.calls.truncate(1);
    called(bench, &script).await
}

pub async fn parallel(bench: &Harness<'_>) -> Tried {
    called(bench, &Script::calling()).await
}

pub async fn bare(bench: &Harness<'_>) -> Tried {
    let call = Call { id: "call_a", name: "weather", arguments: Vec::new() };
    called(bench, &Script { calls: vec![call], text: Vec::new(), ..Script::calling() }).await
}

async fn called(bench: &Harness<'_>, script: &Script) -> Tried {
    if !bench.wire.has_calls() {
        return Err(Fault::Skipped("the wire has no tool calls"));
    }
    let heard = bench.run_completion(bench.says(script, Style::Plain)).await;
    heard.is_whole()?;
    heard.makes(&script.calls, &bench.wire)?;
    Ok(heard.stopped(Reason::ToolUse, &bench.wire)?)
}

async fn heard(bench: &Harness<'_>, script: &Script) -> Tried {
    Ok(bench.run_completion(bench.says(script, Style::Plain)).await.is(script, &bench.wire)?)
}
