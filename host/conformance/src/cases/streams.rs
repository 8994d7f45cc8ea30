//! Cases for different encodings of the same stream.

use bytes::Bytes;

use super::{CaseResult, Fault};
use crate::{
    harness::Harness,
    script::{Call, Reason, Script},
    service::Piece,
    transcript::Transcript,
    wire::Style,
};

pub(super) async fn plain(harness: &Harness<'_>) -> CaseResult {
    check_script(harness, &Script::plain()).await
}

pub(super) async fn escaped(harness: &Harness<'_>) -> CaseResult {
    check_style(harness, Style::Escaped).await
}

pub(super) async fn framing(harness: &Harness<'_>) -> CaseResult {
    check_style(harness, Style::Loose).await
}

pub(super) async fn unknown_fields(harness: &Harness<'_>) -> CaseResult {
    check_style(harness, Style::NewFields).await
}

pub(super) async fn unknown_events(harness: &Harness<'_>) -> CaseResult {
    if harness.profile.unknown.is_empty() {
        return Err(Fault::Skipped("the wire has no other events"));
    }
    check_style(harness, Style::NewEvents).await
}

/// Sends the first chunk, and the rest only after the host has received it.
pub(super) async fn text_without_delay(harness: &Harness<'_>) -> CaseResult {
    let script = Script::plain();
    let beginning = script.beginning(&harness.profile).concat();
    let whole = Bytes::from(script.body(&harness.profile, Style::Plain));
    let pieces = vec![
        Piece::Bytes(whole.slice(..beginning.len())),
        Piece::AwaitText,
        Piece::Bytes(whole.slice(beginning.len()..)),
    ];
    let transcript = harness.run_completion(harness.stream_reply(pieces)).await;
    if transcript.text.is_empty() {
        return Err("expected the first piece of text before the rest was sent, came nothing".to_owned().into());
    }
    Ok(transcript.check_matches(&script, &harness.profile)?)
}

pub(super) async fn split_at_every_byte(harness: &Harness<'_>) -> CaseResult {
    let script = Script::full(&harness.profile);
    let whole = Bytes::from(script.body(&harness.profile, Style::Plain));
    check_splits(harness, &script, &whole, 0..=whole.len()).await
}

pub(super) async fn split_characters(harness: &Harness<'_>) -> CaseResult {
    let script = Script::plain();
    let text = script.body(&harness.profile, Style::Plain);
    let within: Vec<usize> = (0..text.len()).filter(|place| !text.is_char_boundary(*place)).collect();
    check_splits(harness, &script, &Bytes::from(text), within).await
}

async fn check_splits(
    harness: &Harness<'_>,
    script: &Script,
    whole: &Bytes,
    places: impl IntoIterator<Item = usize>,
) -> CaseResult {
    let reference = reference_transcript(harness, script).await?;
    for place in places {
        let (before, after) = (whole.slice(..place), whole.slice(place..));
        let reply = harness.stream_reply(vec![Piece::Bytes(before), Piece::Pause, Piece::Bytes(after)]);
        let check = harness.run_completion(reply).await.check_same_content(&reference);
        check.map_err(|why| format!("cut after {place} of {} bytes: {why}", whole.len()))?;
    }
    Ok(())
}

pub(super) async fn byte_by_byte(harness: &Harness<'_>) -> CaseResult {
    let script = Script::full(&harness.profile);
    let whole = Bytes::from(script.body(&harness.profile, Style::Plain));
    let drop = |place: usize| [Piece::Bytes(whole.slice(place..=place)), Piece::Pause];
    let drops = (0..whole.len()).flat_map(drop).collect();
    let reference = reference_transcript(harness, &script).await?;
    Ok(harness.run_completion(harness.stream_reply(drops)).await.check_same_content(&reference)?)
}

/// Returns the transcript of an ordinary stream, as a reference. Other cases check its content.
pub(super) async fn reference_transcript(harness: &Harness<'_>, script: &Script) -> Result<Transcript, Fault> {
    let transcript = harness.run_completion(harness.script_reply(script, Style::Plain)).await;
    transcript.check_complete()?;
    Ok(transcript)
}

/// Checks that a variation of the stream has the same content.
pub(super) async fn check_style(harness: &Harness<'_>, style: Style) -> CaseResult {
    let script = Script::full(&harness.profile);
    let reference = reference_transcript(harness, &script).await?;
    Ok(harness.run_completion(harness.script_reply(&script, style)).await.check_same_content(&reference)?)
}

pub(super) async fn thought(harness: &Harness<'_>) -> CaseResult {
    if harness.profile.thought.piece.is_empty() {
        return Err(Fault::Skipped("the wire has no thoughts"));
    }
    check_script(harness, &Script::thinking()).await
}

pub(super) async fn one_call(harness: &Harness<'_>) -> CaseResult {
    let mut script = Script::calling();
    script.calls.truncate(1);
    check_calls(harness, &script).await
}

pub(super) async fn parallel_calls(harness: &Harness<'_>) -> CaseResult {
    check_calls(harness, &Script::calling()).await
}

pub(super) async fn call_without_arguments(harness: &Harness<'_>) -> CaseResult {
    let call = Call { id: "call_a", name: "weather", arguments: Vec::new(), replaced: None };
    check_calls(harness, &Script { calls: vec![call], text: Vec::new(), ..Script::calling() }).await
}

pub(super) async fn check_calls(harness: &Harness<'_>, script: &Script) -> CaseResult {
    if !harness.profile.has_calls() {
        return Err(Fault::Skipped("the wire has no tool calls"));
    }
    let transcript = harness.run_completion(harness.script_reply(script, Style::Plain)).await;
    transcript.check_complete()?;
    transcript.check_calls(&script.calls, &harness.profile)?;
    Ok(transcript.check_stop(Reason::ToolUse, &harness.profile)?)
}

pub(super) async fn check_script(harness: &Harness<'_>, script: &Script) -> CaseResult {
    Ok(harness
        .run_completion(harness.script_reply(script, Style::Plain))
        .await
        .check_matches(script, &harness.profile)?)
}
