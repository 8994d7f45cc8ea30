//! Collects the chunks of a completion and compares them with the script.

use std::collections::BTreeMap;

use moxxy_runtime::{
    Failure,
    models::{Chunk, StopReason, Usage},
};

use super::{
    script::{Call, Kind, Reason, Script},
    wire::ProtocolProfile,
};

/// Maximum number of chunks.
const CHUNKS: usize = 20_000;
/// Maximum size of all chunks, in bytes.
const BYTES: usize = 4 * 1024 * 1024;
/// Maximum length of a text in a message, in characters.
const SHOWN: usize = 60;

#[derive(Debug, Default)]
pub struct Transcript {
    pub text: String,
    /// Concatenated thinking deltas.
    told: String,
    /// Finished thoughts.
    thoughts: Vec<String>,
    calls: BTreeMap<u32, CollectedCall>,
    usage: Option<Usage>,
    /// The first usage that is inconsistent in itself.
    odd: Option<Usage>,
    stop: Option<StopReason>,
    pub failure: Option<Failure>,
    /// Debug text of every chunk, for comparisons.
    pub chunks: Vec<String>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct CollectedCall {
    id: Option<String>,
    name: Option<String>,
    arguments: String,
}

/// `Ok` if the expectation holds, otherwise how it does not.
pub type Held = Result<(), String>;

impl Transcript {
    pub fn add(&mut self, chunk: Chunk) {
        let shown = format!("{chunk:?}");
        self.bytes += shown.len();
        self.chunks.push(shown);
        match chunk {
            Chunk::Text(text) => self.text.push_str(&text),
            Chunk::ThinkingDelta(text) => self.told.push_str(&text),
            Chunk::Thinking(thinking) => self.thoughts.push(thinking.text.unwrap_or_default()),
            Chunk::ToolCall(delta) => {
                let call = self.calls.entry(delta.index).or_default();
                call.id = call.id.take().or(delta.id);
                call.name = call.name.take().or(delta.name);
                call.arguments.push_str(&delta.arguments);
            }
            Chunk::Usage(usage) => {
                let fits =
                    usage.cached_input_tokens <= usage.input_tokens && usage.reasoning_tokens <= usage.output_tokens;
                self.odd = self.odd.or((!fits).then_some(usage));
                self.usage = Some(usage);
            }
            Chunk::Stop(reason) => self.stop = Some(reason),
        }
    }

    /// Whether the completion is longer than anything that the service sends.
    pub fn is_endless(&self) -> bool {
        self.chunks.len() > CHUNKS || self.bytes > BYTES
    }

    /// Whether the completion matches the script.
    pub fn is(&self, script: &Script, wire: &ProtocolProfile) -> Held {
        self.is_whole()?;
        same("the text", &script.text.concat(), &self.text)?;
        self.thinks(&script.thought.concat())?;
        self.makes(&script.calls, wire)?;
        self.used(script, wire)?;
        self.stopped(script.stop, wire)
    }

    /// Whether the completion ended with a stop and without an error.
    pub fn is_whole(&self) -> Held {
        match (&self.failure, &self.stop) {
            (Some(failure), _) => Err(format!("expected an answer, came {}", told(failure))),
            (None, None) => Err("expected an answer, came none, and no error".to_owned()),
            (None, Some(_)) => Ok(()),
        }
    }

    /// Whether the completion equals another, apart from its chunks.
    pub fn says(&self, other: &Self) -> Held {
        self.is_whole()?;
        same("the text", &other.text, &self.text)?;
        same("the thoughts", &other.thoughts.concat(), &self.thoughts.concat())?;
        same("the calls", &format!("{:?}", other.calls), &format!("{:?}", self.calls))?;
        same("the usage", &format!("{:?}", other.usage), &format!("{:?}", self.usage))?;
        same("the stop", &format!("{:?}", other.stop), &format!("{:?}", self.stop))
    }

    pub fn thinks(&self, thought: &str) -> Held {
        same("the finished thought", thought, &self.thoughts.concat())?;
        // Reporting an unfinished thought is optional.
        if self.told.is_empty() { Ok(()) } else { same("the thought as it comes", thought, &self.told) }
    }

    pub fn makes(&self, calls: &[Call], wire: &ProtocolProfile) -> Held {
        if self.calls.len() != calls.len() {
            return Err(format!("expected {} tool calls, came {}", calls.len(), self.calls.len()));
        }
        for (call, heeded) in calls.iter().zip(self.calls.values()) {
            same("the name of a call", call.name, heeded.name.as_deref().unwrap_or_default())?;
            if wire.says("$id") {
                same("the id of a call", call.id, heeded.id.as_deref().unwrap_or_default())?;
            }
            let arguments = if heeded.arguments.is_empty() { "{}" } else { &heeded.arguments };
            if serde_json::from_str(arguments).ok() != Some(call.input()) {
                return same("the arguments of a call", &call.input().to_string(), arguments);
            }
        }
        Ok(())
    }

    pub fn used(&self, script: &Script, wire: &ProtocolProfile) -> Held {
        if !wire.says("$input_tokens") && !wire.says("$fresh_tokens") {
            return Ok(());
        }
        if let Some(odd) = self.odd {
            return Err(format!("expected parts within their wholes, came {odd:?}"));
        }
        let count = |name: &str, tokens: u64| if wire.says(name) { tokens } else { 0 };
        let used = script.used;
        let expected =
            [used.input, count("$cached_tokens", used.cached), used.output, count("$reasoning_tokens", used.reasoning)];
        let Some(usage) = self.usage else { return Err("expected usage, came none".to_owned()) };
        let came = [usage.input_tokens, usage.cached_input_tokens, usage.output_tokens, usage.reasoning_tokens];
        let shown = |[input, cached, output, reasoning]: [u64; 4]| {
            format!("input {input} (cached {cached}), output {output} (reasoning {reasoning})")
        };
        if came == expected { Ok(()) } else { Err(format!("expected {}, came {}", shown(expected), shown(came))) }
    }

    pub fn stopped(&self, reason: Reason, wire: &ProtocolProfile) -> Held {
        let words = wire.stops.get(&reason).map(String::as_str).unwrap_or_default();
        let fits = match (reason, &self.stop) {
            (Reason::EndTurn, Some(StopReason::EndTurn))
            | (Reason::ToolUse, Some(StopReason::ToolUse))
            | (Reason::MaxTokens, Some(StopReason::MaxTokens))
            | (Reason::Refusal, Some(StopReason::Refusal)) => true,
            (Reason::Other, Some(StopReason::Other(other))) => other == words,
            _ => false,
        };
        if fits { Ok(()) } else { Err(format!("expected the stop {reason:?}, came {:?}", self.stop)) }
    }

    /// Whether the completion failed with this kind, after at most a prefix of the text.
    pub fn failed(&self, kind: Kind, text: &str) -> Held {
        if !text.starts_with(&self.text) {
            return same("the text before the error", text, &self.text);
        }
        match &self.failure {
            Some(failure) if failure.code() == kind.code() => Ok(()),
            Some(failure) => Err(format!("expected the error {}, came {}", kind.as_str(), told(failure))),
            None => Err(format!("expected the error {}, came an answer that claims to be whole", kind.as_str())),
        }
    }

    pub fn message(&self) -> &str {
        self.failure.as_ref().map(Failure::message).unwrap_or_default()
    }

    pub fn retry_after(&self) -> Option<u64> {
        match &self.failure {
            Some(Failure::ComponentError { retry_after, .. }) => *retry_after,
            _ => None,
        }
    }
}

/// Describes an error in short.
fn told(failure: &Failure) -> String {
    let kind = Kind::ALL.into_iter().find(|kind| kind.code() == failure.code());
    let (name, message) = (kind.map_or(failure.code(), Kind::as_str), shown(failure.message()));
    format!("the error {name}: {message}")
}

pub fn same(what: &str, expected: &str, came: &str) -> Held {
    if expected == came {
        return Ok(());
    }
    // Show a few characters before the first difference.
    let common = expected.chars().zip(came.chars()).take_while(|(a, b)| a == b).count().saturating_sub(12);
    let from = |text: &str| shown(&text.chars().skip(common).collect::<String>());
    Err(format!("{what}: expected {}, came {}", from(expected), from(came)))
}

fn shown(text: &str) -> String {
    let short: String = text.chars().take(SHOWN).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{more}")
}
