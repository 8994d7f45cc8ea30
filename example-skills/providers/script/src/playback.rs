//! A step as it is played: chunks, with pauses between them, and accidents.

use std::time::Duration;

use moxxy_sdk::provider::{Chunk, Error, OpaquePart, Part, Request, Thinking, ToolCallDelta, Usage};

use crate::record::record;
use crate::step::{Call, Step};

/// How many characters of arguments a streamed piece has.
const PIECE: usize = 5;

/// What comes next.
#[derive(Debug, PartialEq)]
enum Event {
    Chunk(Chunk),
    Fail(Error),
    Trap,
    Spin,
}

/// A step under way.
pub(crate) struct Playback {
    events: std::vec::IntoIter<Event>,
    /// Before the next event.
    pause: Duration,
    /// Between any two.
    token_delay: Duration,
}

impl Playback {
    /// Begins with a step, or fails as it says.
    pub(crate) fn start(step: Step, request: &Request) -> Result<Self, Error> {
        let delay = Duration::from_millis(step.delay_ms);
        if let (Some(failure), None) = (&step.error, step.error_after) {
            std::thread::sleep(delay);
            return Err(failure.clone().into());
        }
        let parts = request.messages.iter().flat_map(|message| &message.parts);
        let bytes: usize = parts.map(bytes).sum();
        if step.most_bytes.is_some_and(|most| bytes > most) {
            return Err(Error::context_too_long(format!("the conversation has {bytes} bytes"), None));
        }
        Ok(Self {
            pause: delay,
            token_delay: Duration::from_millis(step.token_delay_ms),
            events: events(&step, request).into_iter(),
        })
    }
}

impl Iterator for Playback {
    type Item = Result<Chunk, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let event = self.events.next()?;
        if !self.pause.is_zero() {
            std::thread::sleep(self.pause);
        }
        self.pause = self.token_delay;
        match event {
            Event::Chunk(chunk) => Some(Ok(chunk)),
            Event::Fail(error) => Some(Err(error)),
            Event::Trap => std::process::abort(),
            Event::Spin => loop {
                std::hint::black_box(());
            },
        }
    }
}

fn events(step: &Step, request: &Request) -> Vec<Event> {
    let text = if step.record { Some(record(request)) } else { step.text.clone() };
    let text = text.unwrap_or_default();
    let warnings = step.warnings.iter().cloned().map(Chunk::Warning);
    let thoughts = step.thought.iter().map(|text| Thinking { text: Some(text.clone()), opaque: Vec::new() });
    let others = step.others.iter().map(|(kind, data)| OpaquePart { kind: kind.clone(), data: data.clone().into() });
    let chunks = warnings.chain(thoughts.map(Chunk::Thinking)).chain(texts(&text, step.stream));
    let chunks = chunks.chain(calls(&step.tool_calls, step.stream)).chain(others.map(Chunk::Other));
    let chunks = chunks.chain(step.opaque.iter().map(|opaque| Chunk::Opaque(opaque.clone().into())));
    let mut events: Vec<Event> = chunks.map(Event::Chunk).collect();
    events.extend(ending(step, request, &text));
    if let Some(count) = step.error_after {
        let error = step.error.clone().map_or_else(|| Error::Other("the script breaks off".to_owned()), Error::from);
        events.truncate(count);
        events.push(Event::Fail(error));
    }
    events
}

fn ending(step: &Step, request: &Request, text: &str) -> Vec<Event> {
    if step.trap {
        return vec![Event::Trap];
    }
    if step.spin {
        return vec![Event::Spin];
    }
    let usage = step.usage.map_or_else(|| counted(step, request, text), Usage::from);
    let mut events = Vec::new();
    if !step.no_usage {
        events.push(Event::Chunk(Chunk::Usage(usage)));
    }
    if !step.no_stop {
        events.push(Event::Chunk(Chunk::Stop(step.stop_reason())));
    }
    events
}

fn texts(text: &str, stream: bool) -> impl Iterator<Item = Chunk> {
    let words = text.split_inclusive(move |c: char| stream && c.is_whitespace());
    words.map(|piece| Chunk::Text(piece.to_owned()))
}

/// Streamed calls take turns, as parallel calls may.
fn calls(calls: &[Call], stream: bool) -> impl Iterator<Item = Chunk> {
    let mut deltas: Vec<(usize, ToolCallDelta)> = Vec::new();
    for (index, call) in (0_u32..).zip(calls) {
        let pieces = pieces(call.arguments(), stream).into_iter().enumerate();
        deltas.extend(pieces.map(|(turn, arguments)| {
            let first = turn == 0;
            let delta = ToolCallDelta {
                index,
                id: call.id.clone().filter(|_| first),
                name: first.then(|| call.name.clone()),
                arguments,
                opaque: call.opaque.as_ref().filter(|_| first).map(|opaque| opaque.clone().into_bytes()),
            };
            (turn, delta)
        }));
    }
    deltas.sort_by_key(|&(turn, _)| turn);
    deltas.into_iter().map(|(_, delta)| Chunk::ToolCall(delta))
}

fn pieces(arguments: String, stream: bool) -> Vec<String> {
    if !stream || arguments.is_empty() {
        return vec![arguments];
    }
    let characters: Vec<char> = arguments.chars().collect();
    characters.chunks(PIECE).map(String::from_iter).collect()
}

fn counted(step: &Step, request: &Request, text: &str) -> Usage {
    let calls = step.tool_calls.iter();
    let called: u64 = calls.map(|call| tokens(&call.name) + tokens(&call.arguments())).sum();
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    let system = request.system.as_deref().map_or(0, tokens);
    Usage {
        input_tokens: system + parts.map(part_tokens).sum::<u64>(),
        cached_input_tokens: 0,
        cache_write_tokens: 0,
        output_tokens: tokens(text) + called,
        reasoning_tokens: 0,
    }
}

fn part_tokens(part: &Part) -> u64 {
    match part {
        Part::Text(text) => tokens(text),
        Part::ToolCall(call) => tokens(&call.name) + tokens(&call.arguments),
        Part::ToolResult(result) => tokens(&result.content),
        Part::Image(_) | Part::Thinking(_) | Part::Other(_) => 0,
    }
}

fn bytes(part: &Part) -> usize {
    match part {
        Part::Text(text) => text.len(),
        Part::ToolCall(call) => call.arguments.len(),
        Part::ToolResult(result) => result.content.len(),
        Part::Image(_) | Part::Thinking(_) | Part::Other(_) => 0,
    }
}

/// A token is what stands between spaces.
fn tokens(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

#[cfg(test)]
mod tests {
    use moxxy_sdk::provider::{Message, Role, StopReason};
    use serde_json::{Value, json};

    use super::*;

    fn request() -> Request {
        Request::new("script")
    }

    fn played(step: Value) -> Vec<Event> {
        events(&serde_json::from_value(step).unwrap(), &request())
    }

    fn deltas(step: Value) -> Vec<ToolCallDelta> {
        let events = played(step).into_iter();
        let delta = |event| match event {
            Event::Chunk(Chunk::ToolCall(delta)) => Some(delta),
            _ => None,
        };
        events.filter_map(delta).collect()
    }

    fn text(text: &str) -> Event {
        Event::Chunk(Chunk::Text(text.to_owned()))
    }

    #[test]
    fn a_text_comes_whole_or_in_words() {
        assert_eq!(played(json!({ "text": "a b" })).first(), Some(&text("a b")));
        let streamed = played(json!({ "text": "a b", "stream": true }));
        assert_eq!(streamed.get(..2), Some(&[text("a "), text("b")][..]));
        assert_eq!(streamed.last(), Some(&Event::Chunk(Chunk::Stop(StopReason::EndTurn))));
    }

    #[test]
    fn streamed_calls_take_turns_and_add_up() {
        let calls = json!([
            { "id": "one", "name": "a", "arguments": { "text": "ä b" } },
            { "name": "b", "arguments": "{broken" },
        ]);
        let deltas = deltas(json!({ "tool_calls": calls, "stream": true }));
        let order: Vec<u32> = deltas.iter().map(|delta| delta.index).collect();
        assert_eq!(order, [0, 1, 0, 1, 0]);
        let names: Vec<_> = deltas.iter().filter_map(|delta| delta.name.as_deref()).collect();
        assert_eq!(names, ["a", "b"]);
        let ids: Vec<_> = deltas.iter().filter_map(|delta| delta.id.as_deref()).collect();
        assert_eq!(ids, ["one"]);
        let whole = |index| -> String {
            let own = deltas.iter().filter(|delta| delta.index == index);
            own.map(|delta| delta.arguments.as_str()).collect()
        };
        assert_eq!((whole(0).as_str(), whole(1).as_str()), (r#"{"text":"ä b"}"#, "{broken"));
    }

    #[test]
    fn the_end_follows_the_step() {
        let end = |step| played(step).pop();
        let call = json!([{ "name": "a" }]);
        let stop = |reason| Some(Event::Chunk(Chunk::Stop(reason)));
        assert_eq!(end(json!({ "tool_calls": call })), stop(StopReason::ToolUse));
        assert_eq!(end(json!({ "stop": "max_tokens" })), stop(StopReason::MaxTokens));
        assert_eq!(end(json!({ "stop": "odd" })), stop(StopReason::Other("odd".to_owned())));
        assert_eq!(end(json!({ "trap": true })), Some(Event::Trap));
        assert_eq!(end(json!({ "spin": true })), Some(Event::Spin));
        assert!(matches!(end(json!({ "no_stop": true })), Some(Event::Chunk(Chunk::Usage(_)))));
    }

    #[test]
    fn an_error_comes_at_once_or_after_some_chunks() {
        let error = json!({ "kind": "rate_limited", "message": "slow", "retry_after": 5 });
        let step = serde_json::from_value(json!({ "error": error })).unwrap();
        assert!(matches!(Playback::start(step, &request()), Err(Error::RateLimited(_))));
        let step = json!({ "text": "a b c", "stream": true, "error": error, "error_after": 2 });
        let played = played(step);
        assert_eq!(played.get(..2), Some(&[text("a "), text("b ")][..]));
        assert!(matches!(played.get(2..), Some([Event::Fail(Error::RateLimited(_))])));
    }

    #[test]
    fn a_conversation_may_be_too_long() {
        let message = Message::new(Role::User, vec![Part::Text("four".to_owned())]);
        let request = Request { messages: vec![message], ..request() };
        let start = |most| Playback::start(serde_json::from_value(json!({ "most_bytes": most })).unwrap(), &request);
        assert!(matches!(start(3), Err(Error::ContextTooLong(_))));
        assert!(start(4).is_ok());
    }

    #[test]
    fn usage_is_given_or_counted() {
        let usage = |step| {
            played(step).into_iter().find_map(|event| match event {
                Event::Chunk(Chunk::Usage(usage)) => Some(usage.output_tokens),
                _ => None,
            })
        };
        assert_eq!(usage(json!({ "text": "a b c" })), Some(3));
        assert_eq!(usage(json!({ "text": "a", "usage": { "output_tokens": 7 } })), Some(7));
        assert_eq!(usage(json!({ "text": "a", "no_usage": true })), None);
    }
}
