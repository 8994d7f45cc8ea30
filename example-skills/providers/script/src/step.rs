//! One step of a script, as the configuration writes it.

use moxxy_sdk::provider::{Error, LimitExceeded, Retry, StopReason, Usage};
use serde::Deserialize;
use serde_json::Value;

/// What happens when the step is played: text, then tool calls, then usage and the end.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Step {
    pub text: Option<String>,
    /// The text is the request, as JSON, so that tests see what the model was shown.
    pub record: bool,
    /// Several are parallel.
    pub tool_calls: Vec<Call>,
    /// Instead of a completion; after `error_after` chunks of it, if that is given.
    pub error: Option<Failure>,
    pub error_after: Option<usize>,
    /// Where the texts and results of the conversation have more bytes, it is too long.
    pub most_bytes: Option<usize>,
    /// Before the first chunk.
    pub delay_ms: u64,
    /// Between two chunks.
    pub token_delay_ms: u64,
    /// Split the text into words and arguments into small pieces.
    pub stream: bool,
    /// Counted if it is not given.
    pub usage: Option<Spent>,
    /// Say nothing of usage.
    pub no_usage: bool,
    /// Opaque data of the message, as text.
    pub opaque: Option<String>,
    /// Parts of kinds that only the provider knows: each kind with its data, as text.
    pub others: Vec<(String, String)>,
    /// Warnings, before everything else.
    pub warnings: Vec<String>,
    /// A thought, before the text.
    pub thought: Option<String>,
    /// Why the model stops. Given the calls it is `tool_use`, without them `end_turn`.
    pub stop: Option<String>,
    /// In place of the end, break.
    pub trap: bool,
    /// In place of the end, never come back.
    pub spin: bool,
    /// Leave the end out.
    pub no_stop: bool,
}

/// A tool call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    /// The host makes one up where there is none.
    #[serde(default)]
    pub id: Option<String>,
    pub name: String,
    /// An object, or a string that is passed on as it is, be it JSON or not.
    #[serde(default)]
    arguments: Value,
    /// Opaque data, as text.
    #[serde(default)]
    pub opaque: Option<String>,
}

/// A provider's error.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    kind: FailureKind,
    #[serde(default)]
    message: String,
    /// In milliseconds.
    #[serde(default)]
    retry_after: Option<u64>,
    /// The limit that a conversation or an output exceeds, in tokens.
    #[serde(default)]
    limit: Option<u32>,
    /// Of `unsupported`.
    #[serde(default)]
    adaptation: String,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FailureKind {
    Authentication,
    RateLimited,
    Overloaded,
    Loading,
    ContextTooLong,
    OutputTooLong,
    Unsupported,
    Refused,
    InvalidRequest,
    Transport,
    Other,
}

/// A completion's usage.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spent {
    input_tokens: u64,
    cached_input_tokens: u64,
    cache_write_tokens: u64,
    output_tokens: u64,
    reasoning_tokens: u64,
}

impl Step {
    pub(crate) fn stop_reason(&self) -> StopReason {
        match self.stop.as_deref() {
            None if self.tool_calls.is_empty() => StopReason::EndTurn,
            None => StopReason::ToolUse,
            Some("end_turn") => StopReason::EndTurn,
            Some("tool_use") => StopReason::ToolUse,
            Some("max_tokens") => StopReason::MaxTokens,
            Some("refusal") => StopReason::Refusal,
            Some(other) => StopReason::Other(other.to_owned()),
        }
    }
}

impl Call {
    pub(crate) fn arguments(&self) -> String {
        match &self.arguments {
            Value::Null => "{}".to_owned(),
            Value::String(raw) => raw.clone(),
            value => value.to_string(),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let Failure { kind, message, retry_after, limit, adaptation } = failure;
        match kind {
            FailureKind::Authentication => Self::Authentication(message),
            FailureKind::RateLimited => Self::RateLimited(Retry { message, retry_after }),
            FailureKind::Overloaded => Self::Overloaded(Retry { message, retry_after }),
            FailureKind::Loading => Self::Loading(Retry { message, retry_after }),
            FailureKind::ContextTooLong => Self::context_too_long(message, limit),
            FailureKind::OutputTooLong => Self::OutputTooLong(LimitExceeded { message, limit }),
            FailureKind::Unsupported => Self::unsupported(message, adaptation),
            FailureKind::Refused => Self::Refused(message),
            FailureKind::InvalidRequest => Self::InvalidRequest(message),
            FailureKind::Transport => Self::Transport(message),
            FailureKind::Other => Self::Other(message),
        }
    }
}

impl From<Spent> for Usage {
    fn from(spent: Spent) -> Self {
        Self {
            input_tokens: spent.input_tokens,
            cached_input_tokens: spent.cached_input_tokens,
            cache_write_tokens: spent.cache_write_tokens,
            output_tokens: spent.output_tokens,
            reasoning_tokens: spent.reasoning_tokens,
        }
    }
}
