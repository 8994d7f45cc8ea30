//! Scripted service, independent of the protocol: answers with thoughts, text, tool calls and usage, and kinds
//! of errors.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strum::IntoStaticStr;

use super::wire::{Block, ProtocolProfile, Style, Template, Values};

/// Message of the service's errors.
pub(crate) const ERROR_MESSAGE: &str = "Not today, says the service.";
pub(crate) const MODEL: &str = "large-1";

/// A scripted answer.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub thought: Vec<&'static str>,
    pub text: Vec<&'static str>,
    pub calls: Vec<Call>,
    pub usage: TokenUsage,
    pub stop: Reason,
    /// Value in place of the stop reason.
    pub replaced_stop: Option<Value>,
}

/// A tool call whose arguments arrive in chunks.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub id: &'static str,
    pub name: &'static str,
    pub arguments: Vec<&'static str>,
    /// Value in place of the arguments, at once.
    pub replaced: Option<Value>,
}

/// Usage in tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenUsage {
    pub input: u64,
    pub cached: u64,
    pub written: u64,
    pub output: u64,
    pub reasoning: u64,
}

/// Stop reason of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    EndTurn,
    ToolUse,
    MaxTokens,
    Refusal,
    Other,
}

/// Error kinds, by their names in the WIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", const_into_str)]
pub enum Kind {
    Authentication,
    RateLimited,
    Overloaded,
    ContextTooLong,
    Refused,
    InvalidRequest,
    Transport,
    Other,
}

/// Characters of one to four bytes, and characters that JSON escapes.
pub(crate) const TEXT_CHUNKS: [&str; 4] = ["Zürich ", "🏔 liegt schön: 世", "界,\n", "sagt \"er\" \\ ö\u{308}\u{200d}."];

impl Script {
    /// A text answer.
    pub(crate) fn plain() -> Self {
        let usage = TokenUsage { input: 60, cached: 0, written: 0, output: 12, reasoning: 0 };
        let (thought, calls, stop) = (Vec::new(), Vec::new(), Reason::EndTurn);
        Self { thought, text: TEXT_CHUNKS.into(), calls, usage, stop, replaced_stop: None }
    }

    /// An answer with everything that the profile supports.
    pub(crate) fn full(profile: &ProtocolProfile) -> Self {
        let script = Self { usage: CACHED_USAGE, ..Self::calling() };
        let has_thoughts = !profile.thought.piece.is_empty();
        let (thought, has_calls) = (if has_thoughts { THOUGHT_CHUNKS.into() } else { Vec::new() }, profile.has_calls());
        match has_calls {
            true => Self { thought, ..script },
            false => Self { thought, usage: CACHED_USAGE, ..Self::plain() },
        }
    }

    /// A text and two tool calls whose chunks alternate.
    pub(crate) fn calling() -> Self {
        let look_up = ["{\"city\":", " \"Zürich \\\"", "Süd\\\" 🏔\"", "}"];
        let weather = ["{\"days\"", ":[1,", "2]", "}"];
        let calls = vec![
            Call { id: "call_a", name: "look_up", arguments: look_up.into(), replaced: None },
            Call { id: "call_b", name: "weather", arguments: weather.into(), replaced: None },
        ];
        Self { calls, stop: Reason::ToolUse, ..Self::plain() }
    }

    pub(crate) fn thinking() -> Self {
        Self { thought: THOUGHT_CHUNKS.into(), ..Self::plain() }
    }

    /// Returns the events in order.
    pub(crate) fn events(&self, profile: &ProtocolProfile, style: &Style) -> Vec<String> {
        let mut builder = EventBuilder::new(self, profile, style);
        builder.push(&profile.begin);
        builder.push_block(&profile.thought, &self.thought);
        builder.push_block(&profile.text, &self.text);
        builder.push_calls(&self.calls);
        builder.push(&profile.finish);
        builder.events.extend(profile.ending(style));
        builder.events
    }

    /// Returns the events up to and including the first chunk of text.
    pub(crate) fn beginning(&self, profile: &ProtocolProfile) -> Vec<String> {
        let mut builder = EventBuilder::new(self, profile, &Style::Plain);
        builder.push(&profile.begin);
        builder.set("block", json!(0));
        builder.push(&profile.text.open);
        builder.set("text", TEXT_CHUNKS.first().copied().into());
        builder.push(&profile.text.piece);
        builder.events
    }

    pub(crate) fn body(&self, profile: &ProtocolProfile, style: Style) -> String {
        self.events(profile, &style).concat()
    }

    /// Returns the stream up to the event with the stop reason, without the line end of that.
    pub(crate) fn body_until_stop(&self, profile: &ProtocolProfile) -> String {
        let behind = profile.finish.iter().rev().take_while(|template| !template.contains("$stop")).count();
        let behind = behind + usize::from(profile.has_end());
        let mut events = self.events(profile, &Style::Plain);
        events.truncate(events.len().saturating_sub(behind));
        events.concat().trim_end().to_owned()
    }

    /// Returns the values of an answer in one JSON value.
    pub(crate) fn whole_values(&self, profile: &ProtocolProfile) -> Values {
        let mut builder = EventBuilder::new(self, profile, &Style::Plain);
        builder.set("block", json!(0));
        builder.set("text", json!(self.text.concat()));
        if let Some(call) = self.calls.first() {
            builder.set_call_values(0, call);
            builder.set("arguments", json!(call.arguments.concat()));
        }
        builder.values
    }

    fn values(&self, profile: &ProtocolProfile) -> Values {
        let TokenUsage { input, cached, written, output, reasoning } = self.usage;
        let fresh = input.saturating_sub(cached).saturating_sub(written);
        let stop = json!(profile.stops.get(&self.stop).cloned().unwrap_or_default());
        let values = [
            ("model", json!(MODEL)),
            ("input_tokens", json!(input)),
            ("cached_tokens", json!(cached)),
            ("written_tokens", json!(written)),
            ("fresh_tokens", json!(fresh)),
            ("output_tokens", json!(output)),
            ("reasoning_tokens", json!(reasoning)),
            ("answer_tokens", json!(output.saturating_sub(reasoning))),
            ("total_tokens", json!(input.saturating_add(output))),
            ("stop", self.replaced_stop.clone().unwrap_or(stop)),
        ];
        values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

const THOUGHT_CHUNKS: [&str; 2] = ["Hm, wo lie", "gt Zürich 🤔?"];
const CACHED_USAGE: TokenUsage = TokenUsage { input: 1200, cached: 1000, written: 120, output: 345, reasoning: 300 };

impl TokenUsage {
    pub(crate) const CACHED: Self = CACHED_USAGE;
}

impl ProtocolProfile {
    pub fn has_calls(&self) -> bool {
        !(self.call.open.is_empty() && self.call.close.is_empty())
    }
}

impl Reason {
    pub const ALL: [Self; 5] = [Self::EndTurn, Self::ToolUse, Self::MaxTokens, Self::Refusal, Self::Other];
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Authentication,
        Self::RateLimited,
        Self::Overloaded,
        Self::ContextTooLong,
        Self::Refused,
        Self::InvalidRequest,
        Self::Transport,
        Self::Other,
    ];

    /// Returns the host's error code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Authentication => "provider_authentication",
            Self::RateLimited => "provider_rate_limited",
            Self::Overloaded => "provider_overloaded",
            Self::ContextTooLong => "context_too_long",
            Self::Refused => "content_refused",
            Self::InvalidRequest => "provider_rejected_request",
            Self::Transport => "provider_unreachable",
            Self::Other => "provider_failed",
        }
    }
}

/// Builds events one after the other.
struct EventBuilder<'w> {
    profile: &'w ProtocolProfile,
    style: &'w Style,
    values: Values,
    events: Vec<String>,
    block: usize,
}

impl<'w> EventBuilder<'w> {
    fn new(script: &Script, profile: &'w ProtocolProfile, style: &'w Style) -> Self {
        Self { profile, style, values: script.values(profile), events: Vec::new(), block: 0 }
    }

    fn set(&mut self, name: &str, value: Value) {
        self.values.insert(name.to_owned(), value);
    }

    fn push(&mut self, templates: &[Template]) {
        for template in templates {
            let event = self.profile.event(template, &self.values, self.style);
            self.push_event(event);
        }
    }

    fn push_event(&mut self, event: String) {
        self.events.push(event);
        if *self.style == Style::NewEvents {
            let unknown = self.profile.unknown.iter();
            self.events.extend(unknown.map(|template| self.profile.event(template, &self.values, self.style)));
        }
    }

    fn push_block(&mut self, block: &Block, texts: &[&str]) {
        if texts.is_empty() {
            return;
        }
        self.set("block", json!(self.block));
        self.block += 1;
        self.push(&block.open);
        for text in texts {
            self.set("text", json!(text));
            self.push(&block.piece);
        }
        self.push(&block.close);
    }

    fn push_calls(&mut self, calls: &[Call]) {
        let max_pieces = calls.iter().map(|call| call.pieces().len()).max().unwrap_or(0);
        let profile = self.profile;
        self.push_for_each(calls, &profile.call.open, |_| Some(Value::Null));
        for piece_index in 0..max_pieces {
            self.push_for_each(calls, &profile.call.piece, |call| call.pieces().get(piece_index).cloned());
        }
        self.push_for_each(calls, &profile.call.close, |_| Some(Value::Null));
    }

    /// Pushes the events of each call that has arguments for them.
    fn push_for_each(&mut self, calls: &[Call], templates: &[Template], arguments: impl Fn(&Call) -> Option<Value>) {
        let mut merged: Vec<Value> = Vec::new();
        for (index, call) in calls.iter().enumerate() {
            let Some(arguments) = arguments(call) else { continue };
            self.set_call_values(index, call);
            self.set("arguments", arguments);
            if *self.style == Style::MergedCalls {
                let events = templates.iter().map(|template| template.value(&self.values)).collect();
                merged = self.merge(merged, events);
            } else {
                self.push(templates);
            }
        }
        for event in merged {
            let event = self.profile.frame_value(&event, self.style);
            self.push_event(event);
        }
    }

    /// Adds the tool calls in the events of one call to the events of the calls before it.
    fn merge(&self, events: Vec<Value>, others: Vec<Value>) -> Vec<Value> {
        if events.is_empty() {
            return others;
        }
        let pointer = self.profile.call.list.as_deref().unwrap_or_default();
        let list = |event: &mut Value| event.pointer_mut(pointer).and_then(Value::as_array_mut).map(std::mem::take);
        let merge = |(mut event, mut other): (Value, Value)| {
            let calls = [list(&mut event), list(&mut other)].into_iter().flatten().flatten().collect();
            if let Some(place) = event.pointer_mut(pointer) {
                *place = calls;
            }
            event
        };
        events.into_iter().zip(others).map(merge).collect()
    }

    fn set_call_values(&mut self, index: usize, call: &Call) {
        self.set("block", json!(self.block + index));
        self.set("index", json!(index));
        self.set("id", json!(call.id));
        self.set("name", json!(call.name));
        self.set("input", call.replaced.clone().unwrap_or_else(|| call.input()));
    }
}

impl Call {
    /// Returns the complete arguments, or an empty object if there are none.
    pub(crate) fn input(&self) -> Value {
        serde_json::from_str(&self.arguments.concat()).unwrap_or_else(|_| json!({}))
    }

    /// Returns the arguments as they come.
    fn pieces(&self) -> Vec<Value> {
        match &self.replaced {
            Some(value) => vec![value.clone()],
            None => self.arguments.iter().map(|piece| json!(piece)).collect(),
        }
    }
}
