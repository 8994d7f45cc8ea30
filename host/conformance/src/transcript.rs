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
const MAX_CHUNKS: usize = 20_000;
/// Maximum size of all chunks, in bytes.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Maximum length of a text in a message, in characters.
const MAX_SHOWN_CHARS: usize = 60;

#[derive(Debug, Default)]
pub(crate) struct Transcript {
    pub text: String,
    /// Concatenated thinking deltas.
    thinking_deltas: String,
    /// Finished thoughts.
    thoughts: Vec<String>,
    calls: BTreeMap<u32, CollectedCall>,
    usage: Option<Usage>,
    /// The first usage that is inconsistent in itself.
    inconsistent_usage: Option<Usage>,
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
pub(crate) type Check = Result<(), String>;

impl Transcript {
    pub(crate) fn add(&mut self, chunk: Chunk) {
        let debug_text = format!("{chunk:?}");
        self.bytes += debug_text.len();
        self.chunks.push(debug_text);
        match chunk {
            Chunk::Text(text) => self.text.push_str(&text),
            Chunk::ThinkingDelta(text) => self.thinking_deltas.push_str(&text),
            Chunk::Thinking(thinking) => self.thoughts.push(thinking.text.unwrap_or_default()),
            Chunk::ToolCall(delta) => {
                let call = self.calls.entry(delta.index).or_default();
                call.id = call.id.take().or(delta.id);
                call.name = call.name.take().or(delta.name);
                call.arguments.push_str(&delta.arguments);
            }
            Chunk::Usage(usage) => {
                let cached = usage.cached_input_tokens.saturating_add(usage.cache_write_tokens);
                let consistent = cached <= usage.input_tokens && usage.reasoning_tokens <= usage.output_tokens;
                self.inconsistent_usage = self.inconsistent_usage.or((!consistent).then_some(usage));
                self.usage = Some(usage);
            }
            // Only the provider knows what they mean.
            Chunk::Opaque(_) | Chunk::Other(_) | Chunk::Warning(_) => {}
            Chunk::Stop(reason) => self.stop = Some(reason),
        }
    }

    /// Whether the completion is longer than anything that the service sends.
    pub(crate) fn is_endless(&self) -> bool {
        self.chunks.len() > MAX_CHUNKS || self.bytes > MAX_BYTES
    }

    /// Whether the completion matches the script.
    pub(crate) fn check_matches(&self, script: &Script, profile: &ProtocolProfile) -> Check {
        self.check_complete()?;
        check_equal("the text", &script.text.concat(), &self.text)?;
        self.check_thought(&script.thought.concat())?;
        self.check_calls(&script.calls, profile)?;
        self.check_usage(script, profile)?;
        self.check_stop(script.stop, profile)
    }

    /// Whether the completion ended with a stop and without an error.
    pub(crate) fn check_complete(&self) -> Check {
        match (&self.failure, &self.stop) {
            (Some(failure), _) => Err(format!("expected an answer, came {}", describe_failure(failure))),
            (None, None) => Err("expected an answer, came none, and no error".to_owned()),
            (None, Some(_)) => Ok(()),
        }
    }

    /// Whether the completion equals another, apart from its chunks.
    pub(crate) fn check_same_content(&self, other: &Self) -> Check {
        self.check_same_answer(other)?;
        check_equal("the usage", &format!("{:?}", other.usage), &format!("{:?}", self.usage))
    }

    /// Whether the completion equals another, apart from its chunks and its usage.
    pub(crate) fn check_same_answer(&self, other: &Self) -> Check {
        self.check_complete()?;
        check_equal("the text", &other.text, &self.text)?;
        check_equal("the thoughts", &other.thoughts.concat(), &self.thoughts.concat())?;
        check_equal("the calls", &format!("{:?}", other.calls), &format!("{:?}", self.calls))?;
        check_equal("the stop", &format!("{:?}", other.stop), &format!("{:?}", self.stop))
    }

    pub(crate) fn check_thought(&self, thought: &str) -> Check {
        check_equal("the finished thought", thought, &self.thoughts.concat())?;
        // Reporting an unfinished thought is optional.
        if self.thinking_deltas.is_empty() {
            Ok(())
        } else {
            check_equal("the thought as it comes", thought, &self.thinking_deltas)
        }
    }

    pub(crate) fn check_calls(&self, calls: &[Call], profile: &ProtocolProfile) -> Check {
        if self.calls.len() != calls.len() {
            return Err(format!("expected {} tool calls, came {}", calls.len(), self.calls.len()));
        }
        for (call, collected) in calls.iter().zip(self.calls.values()) {
            check_equal("the name of a call", call.name, collected.name.as_deref().unwrap_or_default())?;
            if profile.has_placeholder("$id") {
                check_equal("the id of a call", call.id, collected.id.as_deref().unwrap_or_default())?;
            }
            let arguments = if collected.arguments.is_empty() { "{}" } else { &collected.arguments };
            if serde_json::from_str(arguments).ok() != Some(call.input()) {
                return check_equal("the arguments of a call", &call.input().to_string(), arguments);
            }
        }
        Ok(())
    }

    pub(crate) fn check_usage(&self, script: &Script, profile: &ProtocolProfile) -> Check {
        if !profile.has_placeholder("$input_tokens") && !profile.has_placeholder("$fresh_tokens") {
            return Ok(());
        }
        if let Some(inconsistent_usage) = self.inconsistent_usage {
            return Err(format!("expected parts within their wholes, came {inconsistent_usage:?}"));
        }
        let count = |name: &str, tokens: u64| if profile.has_placeholder(name) { tokens } else { 0 };
        let used = script.usage;
        let expected =
            [used.input, count("$cached_tokens", used.cached), used.output, count("$reasoning_tokens", used.reasoning)];
        let Some(usage) = self.usage else { return Err("expected usage, came none".to_owned()) };
        let actual = [usage.input_tokens, usage.cached_input_tokens, usage.output_tokens, usage.reasoning_tokens];
        let describe = |[input, cached, output, reasoning]: [u64; 4]| {
            format!("input {input} (cached {cached}), output {output} (reasoning {reasoning})")
        };
        if actual == expected {
            Ok(())
        } else {
            Err(format!("expected {}, came {}", describe(expected), describe(actual)))
        }
    }

    pub(crate) fn check_stop(&self, reason: Reason, profile: &ProtocolProfile) -> Check {
        let words = profile.stops.get(&reason).map(String::as_str).unwrap_or_default();
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
    pub(crate) fn check_failed(&self, kind: Kind, text: &str) -> Check {
        if !text.starts_with(&self.text) {
            return check_equal("the text before the error", text, &self.text);
        }
        match &self.failure {
            Some(failure) if failure.code() == kind.code() => Ok(()),
            Some(failure) => Err(format!("expected the error {}, came {}", kind.into_str(), describe_failure(failure))),
            None => Err(format!("expected the error {}, came an answer that claims to be whole", kind.into_str())),
        }
    }

    pub(crate) fn message(&self) -> &str {
        self.failure.as_ref().map(Failure::message).unwrap_or_default()
    }

    pub(crate) fn retry_after(&self) -> Option<u64> {
        match &self.failure {
            Some(Failure::ComponentError { retry_after, .. }) => *retry_after,
            _ => None,
        }
    }
}

/// Describes an error in short.
fn describe_failure(failure: &Failure) -> String {
    let kind = Kind::ALL.into_iter().find(|kind| kind.code() == failure.code());
    let (name, message) = (kind.map_or(failure.code(), |kind| kind.into_str()), truncate(failure.message()));
    format!("the error {name}: {message}")
}

pub(crate) fn check_equal(what: &str, expected: &str, actual: &str) -> Check {
    if expected == actual {
        return Ok(());
    }
    // Show a few characters before the first difference.
    let common = expected.chars().zip(actual.chars()).take_while(|(a, b)| a == b).count().saturating_sub(12);
    let from_difference = |text: &str| truncate(&text.chars().skip(common).collect::<String>());
    Err(format!("{what}: expected {}, came {}", from_difference(expected), from_difference(actual)))
}

fn truncate(text: &str) -> String {
    let shortened: String = text.chars().take(MAX_SHOWN_CHARS).collect();
    let ellipsis = if shortened.len() < text.len() { "…" } else { "" };
    format!("{shortened:?}{ellipsis}")
}
