//! Cases for what a provider must accept, because services send it. None of it has two meanings.

use serde_json::{Value, json};

use super::{CaseResult, Fault, streams};
use crate::{
    harness::Harness,
    script::{Call, Script},
    service::{Piece, Reply},
    wire::{Style, Template},
};

/// Stand for the halves of 🏔 in scripts, which are Unicode.
const HIGH_HALF: &str = "\u{f0000}";
const LOW_HALF: &str = "\u{f0001}";

pub(super) async fn ends_after_stop(harness: &Harness<'_>) -> CaseResult {
    for script in [Script::plain(), Script::full(&harness.profile)] {
        let reference = streams::reference_transcript(harness, &script).await?;
        let body = script.body_until_stop(&harness.profile);
        stream(harness, body).await.check_same_answer(&reference)?;
    }
    Ok(())
}

pub(super) async fn ends_without_terminator(harness: &Harness<'_>) -> CaseResult {
    let script = Script::full(&harness.profile);
    let reference = streams::reference_transcript(harness, &script).await?;
    let mut events = script.events(&harness.profile, &Style::Plain);
    if harness.profile.has_end() {
        events.pop();
    }
    Ok(stream(harness, events.concat().trim_end().to_owned()).await.check_same_content(&reference)?)
}

pub(super) async fn no_stop_reason(harness: &Harness<'_>) -> CaseResult {
    if !harness.profile.terminated {
        return Err(Fault::Skipped("the wire has no end besides the reason"));
    }
    for replaced in [Value::Null, json!("")] {
        let script = Script { replaced_stop: Some(replaced.clone()), ..Script::plain() };
        streams::check_script(harness, &script).await?;
        if harness.profile.has_calls() {
            streams::check_calls(harness, &Script { replaced_stop: Some(replaced), ..Script::calling() }).await?;
        }
    }
    Ok(())
}

pub(super) async fn no_stream(harness: &Harness<'_>) -> CaseResult {
    let whole = &harness.profile.whole;
    let mut one_call = Script { text: Vec::new(), ..Script::calling() };
    one_call.calls.truncate(1);
    let answers = [(&whole.text, Script::plain()), (&whole.call, one_call)];
    let answers: Vec<(&Template, Script)> =
        answers.into_iter().filter_map(|(template, script)| Some((template.as_ref()?, script))).collect();
    if answers.is_empty() {
        return Err(Fault::Skipped("the wire has no answer in one JSON value"));
    }
    for (template, script) in answers {
        let value = template.value(&script.whole_values(&harness.profile));
        // What comes line by line is one line.
        let body = if harness.profile.has_lines() { value.to_string() } else { format!("{value:#}") };
        let transcript = harness.run_completion(Reply::new(200, body).header("Content-Type", "application/json")).await;
        transcript.check_matches(&script, &harness.profile)?;
    }
    Ok(())
}

pub(super) async fn keep_alive(harness: &Harness<'_>) -> CaseResult {
    let script = Script::full(&harness.profile);
    let reference = streams::reference_transcript(harness, &script).await?;
    let with_empty = |pieces: &[&'static str]| pieces.iter().flat_map(|piece| ["", piece]).chain([""]).collect();
    let calls = script.calls.iter().map(|call| Call { arguments: with_empty(&call.arguments), ..call.clone() });
    // A service may announce a thought that never comes.
    let thought = if harness.profile.thought.piece.is_empty() { Vec::new() } else { with_empty(&script.thought) };
    let script = Script { calls: calls.collect(), text: with_empty(&script.text), thought, ..script };
    let body = script.body(&harness.profile, Style::KeepAlive);
    Ok(stream(harness, body).await.check_same_content(&reference)?)
}

pub(super) async fn types(harness: &Harness<'_>) -> CaseResult {
    if harness.profile.loose.is_empty() {
        return Err(Fault::Skipped("the wire names no such fields"));
    }
    // A text could be the text of an answer, and an object a part of one.
    for other in [None, Some(Value::Null), Some(json!(7)), Some(json!(-0.5)), Some(json!(true)), Some(json!([7]))] {
        let check = streams::check_style(harness, Style::Types(other.clone())).await;
        check.map_err(|fault| fault.with(&describe(other.as_ref())))?;
    }
    Ok(())
}

pub(super) async fn usage(harness: &Harness<'_>) -> CaseResult {
    let script = Script::full(&harness.profile);
    let reference = streams::reference_transcript(harness, &script).await?;
    for other in [None, Some(Value::Null), Some(json!("much")), Some(json!(-7)), Some(json!([7])), Some(json!({}))] {
        let reply = harness.script_reply(&script, Style::Usage(other.clone()));
        let check = harness.run_completion(reply).await.check_same_answer(&reference);
        check.map_err(|why| format!("{}: {why}", describe(other.as_ref())))?;
    }
    Ok(())
}

pub(super) async fn surrogates(harness: &Harness<'_>) -> CaseResult {
    let escaped = |script: &Script| {
        let body = script.body(&harness.profile, Style::Plain);
        body.replace(HIGH_HALF, "\\ud83c").replace(LOW_HALF, "\\udfd4")
    };
    let texts: [(Vec<&'static str>, &str); 3] = [
        (vec!["hi \u{f0000}", "\u{f0001} bye"], "hi 🏔 bye"),
        (vec!["hi \u{f0000}", " bye"], "hi \u{fffd} bye"),
        (vec!["hi \u{f0001} bye", "\u{f0000}"], "hi \u{fffd} bye\u{fffd}"),
    ];
    for (text, expected) in texts {
        let sent = Script { text, ..Script::plain() };
        let transcript = stream(harness, escaped(&sent)).await;
        transcript.check_matches(&Script { text: vec![expected], ..sent }, &harness.profile)?;
    }
    if harness.profile.has_calls() {
        let call = |arguments| Call { id: "call_a", name: "look_up", arguments, replaced: None };
        let with = |arguments| Script { text: Vec::new(), calls: vec![call(arguments)], ..Script::calling() };
        let transcript = stream(harness, escaped(&with(vec!["{\"city\": \"\u{f0000}", "\u{f0001}\"}"]))).await;
        transcript.check_matches(&with(vec!["{\"city\": \"🏔\"}"]), &harness.profile)?;
    }
    Ok(())
}

pub(super) async fn two_calls_in_one_event(harness: &Harness<'_>) -> CaseResult {
    if harness.profile.call.list.is_none() {
        return Err(Fault::Skipped("the wire has no lists of calls"));
    }
    let script = Script::calling();
    let transcript = harness.run_completion(harness.script_reply(&script, Style::MergedCalls)).await;
    Ok(transcript.check_matches(&script, &harness.profile)?)
}

pub(super) async fn no_arguments(harness: &Harness<'_>) -> CaseResult {
    for none in [json!(""), Value::Null] {
        let call = Call { id: "call_a", name: "weather", arguments: Vec::new(), replaced: Some(none) };
        streams::check_calls(harness, &Script { calls: vec![call], text: Vec::new(), ..Script::calling() }).await?;
    }
    Ok(())
}

pub(super) async fn arguments_in_other_form(harness: &Harness<'_>) -> CaseResult {
    let arguments = "{\"city\": \"Zürich 🏔\"}";
    let is_text = harness.profile.has_placeholder("$arguments");
    let mut call = Call { id: "call_a", name: "look_up", arguments: vec![arguments], replaced: None };
    call.replaced = Some(if is_text { call.input() } else { json!(arguments) });
    streams::check_calls(harness, &Script { calls: vec![call], text: Vec::new(), ..Script::calling() }).await
}

pub(super) async fn byte_order_mark(harness: &Harness<'_>) -> CaseResult {
    let script = Script::full(&harness.profile);
    let reference = streams::reference_transcript(harness, &script).await?;
    let body = format!("\u{feff}{}", script.body(&harness.profile, Style::Plain));
    Ok(stream(harness, body).await.check_same_content(&reference)?)
}

pub(super) async fn media_type(harness: &Harness<'_>) -> CaseResult {
    let script = Script::full(&harness.profile);
    let reference = streams::reference_transcript(harness, &script).await?;
    for media_type in
        [None, Some("text/plain; charset=utf-8"), Some("application/json"), Some("application/octet-stream")]
    {
        let reply = Reply::new(200, script.body(&harness.profile, Style::Plain));
        let reply = media_type.iter().fold(reply, |reply, media_type| reply.header("Content-Type", *media_type));
        let check = harness.run_completion(reply).await.check_same_content(&reference);
        check.map_err(|why| format!("{}: {why}", media_type.unwrap_or("no media type")))?;
    }
    Ok(())
}

async fn stream(harness: &Harness<'_>, body: String) -> crate::transcript::Transcript {
    harness.run_completion(harness.stream_reply(vec![Piece::Bytes(body.into())])).await
}

fn describe(value: Option<&Value>) -> String {
    value.map_or_else(|| "absent".to_owned(), Value::to_string)
}
