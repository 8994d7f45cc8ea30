//! Scripted service, independent of the protocol: answers with thoughts, text, tool calls and usage, and kinds
//! of errors.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::wire::{Block, ProtocolProfile, Style, Values};

/// Message of the service's errors.
pub const MESSAGE: &str = "Not today, says the service.";
pub const MODEL: &str = "large-1";

/// A scripted answer.
#[derive(Debug, Clone)]
pub struct Script {
    pub thought: Vec<&'static str>,
    pub text: Vec<&'static str>,
    pub calls: Vec<Call>,
    pub used: Used,
    pub stop: Reason,
}

/// A tool call whose arguments arrive in chunks.
#[derive(Debug, Clone)]
pub struct Call {
    pub id: &'static str,
    pub name: &'static str,
    pub arguments: Vec<&'static str>,
}

/// Usage in tokens.
#[derive(Debug, Clone, Copy)]
pub struct Used {
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
pub const TEXT: [&str; 4] = ["Zürich ", "🏔 liegt schön: 世", "界,\n", "sagt \"er\" \\ ö\u{308}\u{200d}."];

impl Script {
    /// A text answer.
    pub fn plain() -> Self {
        let used = Used { input: 60, cached: 0, written: 0, output: 12, reasoning: 0 };
        Self { thought: Vec::new(), text: TEXT.into(), calls: Vec::new(), used, stop: Reason::EndTurn }
    }

    /// An answer with everything that the profile supports.
    pub fn whole(wire: &ProtocolProfile) -> Self {
        let script = Self { used: CACHED, ..Self::calling() };
        let thinks = !wire.thought.piece.is_empty();
        let (thought, has_calls) = (if thinks { THOUGHT.into() } else { Vec::new() }, wire.has_calls());
        match has_calls {
            true => Self { thought, ..script },
            false => Self { thought, used: CACHED, ..Self::plain() },
        }
    }

    /// A text and two tool calls whose chunks alternate.
    pub fn calling() -> Self {
        let look_up = ["{\"city\":", " \"Zürich \\\"", "Süd\\\" 🏔\"", "}"];
        let weather = ["{\"days\"", ":[1,", "2]", "}"];
        let calls = vec![
            Call { id: "call_a", name: "look_up", arguments: look_up.into() },
            Call { id: "call_b", name: "weather", arguments: weather.into() },
        ];
        Self { calls, stop: Reason::ToolUse, ..Self::plain() }
    }

    pub fn thinking() -> Self {
        Self { thought: THOUGHT.into(), ..Self::plain() }
    }

    /// Returns the events in order.
    pub fn events(&self, wire: &ProtocolProfile, style: Style) -> Vec<String> {
        let mut stage = Stage { wire, style, values: self.values(wire), events: Vec::new(), block: 0 };
        stage.say(&wire.begin);
        stage.pieces(&wire.thought, &self.thought);
        stage.pieces(&wire.text, &self.text);
        stage.calls(&self.calls);
        stage.say(&wire.finish);
        stage.events.extend(wire.ending(style));
        stage.events
    }

    /// Returns the events up to and including the first chunk of text.
    pub fn beginning(&self, wire: &ProtocolProfile) -> Vec<String> {
        let mut stage = Stage { wire, style: Style::Plain, values: self.values(wire), events: Vec::new(), block: 0 };
        stage.say(&wire.begin);
        stage.set("block", json!(0));
        stage.say(&wire.text.open);
        stage.set("text", TEXT.first().copied().into());
        stage.say(&wire.text.piece);
        stage.events
    }

    pub fn body(&self, wire: &ProtocolProfile, style: Style) -> String {
        self.events(wire, style).concat()
    }

    fn values(&self, wire: &ProtocolProfile) -> Values {
        let Used { input, cached, written, output, reasoning } = self.used;
        let fresh = input.saturating_sub(cached).saturating_sub(written);
        let stop = wire.stops.get(&self.stop).cloned().unwrap_or_default();
        let values = [
            ("model", json!(MODEL)),
            ("input_tokens", json!(input)),
            ("cached_tokens", json!(cached)),
            ("written_tokens", json!(written)),
            ("fresh_tokens", json!(fresh)),
            ("output_tokens", json!(output)),
            ("reasoning_tokens", json!(reasoning)),
            ("total_tokens", json!(input.saturating_add(output))),
            ("stop", json!(stop)),
        ];
        values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

const THOUGHT: [&str; 2] = ["Hm, wo lie", "gt Zürich 🤔?"];
const CACHED: Used = Used { input: 1200, cached: 1000, written: 120, output: 345, reasoning: 300 };

impl Used {
    pub const CACHED: Self = CACHED;
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

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::RateLimited => "rate-limited",
            Self::Overloaded => "overloaded",
            Self::ContextTooLong => "context-too-long",
            Self::Refused => "refused",
            Self::InvalidRequest => "invalid-request",
            Self::Transport => "transport",
            Self::Other => "other",
        }
    }
}

/// Builds events one after the other.
struct Stage<'w> {
    wire: &'w ProtocolProfile,
    style: Style,
    values: Values,
    events: Vec<String>,
    block: usize,
}

impl Stage<'_> {
    fn set(&mut self, name: &str, value: Value) {
        self.values.insert(name.to_owned(), value);
    }

    fn say(&mut self, templates: &[super::wire::Template]) {
        for template in templates {
            self.events.push(self.wire.event(template, &self.values, self.style));
            if self.style == Style::NewEvents {
                let unknown = self.wire.unknown.iter();
                self.events.extend(unknown.map(|template| self.wire.event(template, &self.values, self.style)));
            }
        }
    }

    fn pieces(&mut self, block: &Block, texts: &[&str]) {
        if texts.is_empty() {
            return;
        }
        self.set("block", json!(self.block));
        self.block += 1;
        self.say(&block.open);
        for text in texts {
            self.set("text", json!(text));
            self.say(&block.piece);
        }
        self.say(&block.close);
    }

    fn calls(&mut self, calls: &[Call]) {
        let most = calls.iter().map(|call| call.arguments.len()).max().unwrap_or(0);
        let wire = self.wire;
        for (index, call) in calls.iter().enumerate() {
            self.call(index, call);
            self.say(&wire.call.open);
        }
        for turn in 0..most {
            for (index, call) in calls.iter().enumerate() {
                if let Some(piece) = call.arguments.get(turn) {
                    self.call(index, call);
                    self.set("arguments", json!(piece));
                    self.say(&wire.call.piece);
                }
            }
        }
        for (index, call) in calls.iter().enumerate() {
            self.call(index, call);
            self.say(&wire.call.close);
        }
    }

    fn call(&mut self, index: usize, call: &Call) {
        self.set("block", json!(self.block + index));
        self.set("index", json!(index));
        self.set("id", json!(call.id));
        self.set("name", json!(call.name));
        self.set("input", call.input());
    }
}

impl Call {
    /// Returns the complete arguments, or an empty object if there are none.
    pub fn input(&self) -> Value {
        serde_json::from_str(&self.arguments.concat()).unwrap_or_else(|_| json!({}))
    }
}
