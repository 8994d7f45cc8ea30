//! What a service says when it does not do what it was asked, by the kinds that the host knows. The
//! services agree on little but the status, so their words count too.

use moxxy_sdk::provider::{Error, LimitExceeded, Refusal, Request, Retry};
use serde_json::Value;

use crate::dialect;

const CODES: [&str; 5] = ["/error/code", "/error/type", "/code", "/type", "/error/status"];
const TOO_LONG: [&str; 9] = [
    "maximum context length",
    "context length",
    "context window",
    "context size",
    "context_length",
    "prompt is too long",
    "too many tokens",
    "reduce the length",
    "exceeds the maximum number of tokens",
];
const REFUSED: [&str; 6] =
    ["content management policy", "content policy", "content filter", "usage policies", "flagged", "safety system"];
const LOADING: [&str; 5] =
    ["loading model", "model is loading", "is currently loading", "model is starting", "model not loaded yet"];
/// Words before a limit of the context window.
const WINDOW: [&str; 7] = [
    "maximum context length is",
    "maximum context length of",
    "context length is only",
    "context size of",
    "context window of",
    "available context size (",
    "context length of",
];
/// Words before a limit of output tokens.
const OUTPUT: [&str; 6] = [
    "supports at most",
    "less than or equal to",
    "must be at most",
    "maximum output tokens is",
    "maximum allowed number of output tokens",
    "maximum value is",
];
const NO_TOOLS: [&str; 8] = [
    "does not support tools",
    "tool choice requires",
    "tool use is not supported",
    "support tool use",
    "tools are not supported",
    "does not support function calling",
    "function calling is not",
    "tools is not supported",
];
/// Words about tools, and about the form of answers, in a refusal of both at once.
const TOOLS: [&str; 3] = ["tool", "function call", "function_call"];
const FORMAT: [&str; 7] = [
    "response_format",
    "response format",
    "response mime type",
    "json mode",
    "json_schema",
    "structured output",
    "grammar",
];
/// Words about a field that is refused.
const UNSUPPORTED: [&str; 11] = [
    "not support",
    "unsupported",
    "unrecognized",
    "unknown",
    "extra inputs",
    "not permitted",
    "unexpected",
    "not allowed",
    "extra fields",
    "is not available",
    "invalid parameter",
];
/// Fields of a request that can be left out.
const FIELDS: [&str; 11] = [
    "reasoning_content",
    "reasoning_details",
    "stream_options",
    "temperature",
    "top_p",
    "stop",
    "reasoning_effort",
    "reasoning",
    "thinking",
    "chat_template_kwargs",
    "response_format",
];

/// The error that an answer other than success is.
pub(crate) fn error(refused: Refusal) -> Error {
    let status = refused.status();
    let body = match refused.body() {
        Value::Array(items) => items.first().cloned().unwrap_or_default(),
        body => body.clone(),
    };
    let codes: Vec<&str> = CODES.into_iter().filter_map(|place| body.pointer(place)?.as_str()).collect();
    let is = |known: &[&str]| codes.iter().any(|code| known.contains(code));
    // What is wrong with the request itself, be it said with 400 or with another status.
    let about_request = matches!(status, 400 | 403 | 404 | 413 | 422 | 500);
    let message = refused.message();
    let told = message.to_lowercase();
    let is_window = is(&["context_length_exceeded", "exceed_context_size_error"]);
    match () {
        () if about_request && !is_window && output_limit(&told).is_some() => {
            Error::OutputTooLong(LimitExceeded { limit: output_limit(&told), message })
        }
        () if is_window || status == 413 || (about_request && refused.says(&TOO_LONG)) => {
            let counted = body.pointer("/error/n_ctx").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
            Error::context_too_long(message, counted.or_else(|| number_after(&told, &WINDOW)))
        }
        () if is(&["content_filter", "content_policy_violation", "content_moderation"]) => Error::Refused(message),
        () if is(&["insufficient_quota", "billing_hard_limit_reached"]) => Error::Other(message),
        () if is(&["invalid_api_key"]) => Error::Authentication(message),
        () if about_request && refused.says(&REFUSED) => Error::Refused(message),
        () if status == 503 && refused.says(&LOADING) => {
            let Retry { message, retry_after } = refused.retry();
            Error::Loading(Retry { message, retry_after })
        }
        () => refused.into(),
    }
}

/// Returns the limit of output tokens that a message names.
fn output_limit(told: &str) -> Option<u32> {
    let is_about = ["max_tokens", "max_completion_tokens", "completion tokens", "output tokens"];
    let is_window = TOO_LONG.iter().any(|words| told.contains(words));
    number_after(told, &OUTPUT).filter(|_| !is_window && is_about.iter().any(|words| told.contains(words)))
}

/// Returns the number that follows one of these words.
fn number_after(told: &str, words: &[&str]) -> Option<u32> {
    words.iter().find_map(|words| {
        let (_, behind) = told.split_once(words)?;
        let digits: String = behind
            .trim_start_matches(|c: char| !c.is_ascii_digit() && c != '.' && c != ';')
            .chars()
            .take_while(|c| c.is_ascii_digit() || matches!(c, ',' | '_'))
            .filter(char::is_ascii_digit)
            .collect();
        digits.parse().ok()
    })
}

/// What is known of a request when the service refuses it.
#[derive(Debug)]
pub(crate) struct Known {
    has_tools: bool,
    has_schema: bool,
    adaptations: Vec<String>,
}

impl Known {
    pub(crate) fn of(request: &Request) -> Self {
        Self {
            has_tools: !request.tools.is_empty(),
            has_schema: request.response_schema.is_some(),
            adaptations: request.adaptations.clone(),
        }
    }

    /// Returns the error of the request, or how the provider does without what the service refuses.
    pub(crate) fn adapt(&self, error: Error) -> Error {
        let Error::InvalidRequest(message) = &error else { return error };
        match self.adaptation(message) {
            Some(adaptation) if !self.adaptations.contains(&adaptation) => Error::unsupported(message, adaptation),
            _ => error,
        }
    }

    /// Returns the adaptation to a refusal, if there is one.
    fn adaptation(&self, message: &str) -> Option<String> {
        let told = message.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|words| told.contains(words));
        let is_unsupported = says(&UNSUPPORTED);
        let is_adapted = |adaptation: &str| self.adaptations.iter().any(|known| known == adaptation);
        let has_both = self.has_tools && self.has_schema && !is_adapted(dialect::JSON_WITHOUT_TOOLS);
        let named = |field: &&&str| {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            told.match_indices(**field).any(|(at, _)| {
                let before = told.get(..at).and_then(|before| before.chars().next_back());
                let after = told.get(at + field.len()..).and_then(|after| after.chars().next());
                !before.is_some_and(is_part) && !after.is_some_and(is_part)
            })
        };
        let refused = || FIELDS.iter().find(named).filter(|_| is_unsupported);
        let adaptation = match () {
            () if has_both && says(&TOOLS) && says(&FORMAT) => dialect::JSON_WITHOUT_TOOLS.to_owned(),
            () if self.has_schema && says(&["invalid schema for response_format"]) => {
                let is_loose = is_adapted(dialect::LOOSE_SCHEMA);
                if is_loose { dialect::JSON_OBJECT } else { dialect::LOOSE_SCHEMA }.to_owned()
            }
            () if self.has_tools && says(&NO_TOOLS) => dialect::NO_TOOLS.to_owned(),
            () if says(&["max_tokens"]) && says(&["use 'max_completion_tokens'", "use max_completion_tokens"]) => {
                dialect::MAX_COMPLETION_TOKENS.to_owned()
            }
            () if is_unsupported && says(&["max_completion_tokens"]) => dialect::MAX_TOKENS.to_owned(),
            () if says(&["reasoning_content"]) && !is_unsupported => dialect::REASONING_CONTENT.to_owned(),
            () if says(&["tool call id", "tool_call_id", "toolcallid"]) && says(&["length of 9", "9 characters"]) => {
                dialect::NINE_CHARACTER_IDS.to_owned()
            }
            () if says(&["content"])
                && says(&["must be a string", "be null", "is null", "valid string", "not be none"]) =>
            {
                dialect::EMPTY_CONTENT.to_owned()
            }
            () if is_unsupported && says(&["'system'", "system role", "system message", "developer instruction"]) => {
                dialect::NO_SYSTEM_ROLE.to_owned()
            }
            () if is_unsupported && says(&["json_schema"]) => dialect::JSON_OBJECT.to_owned(),
            () => format!("{}{}", dialect::NO_PREFIX, refused()?.replace('_', "-")),
        };
        Some(adaptation)
    }
}

/// The error that comes in the midst of a stream, where there is no status any more.
pub(crate) fn in_stream(body: Value) -> Error {
    error(Refusal::new(status(&body), body))
}

fn status(body: &Value) -> u16 {
    let number = |value: &Value| match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let codes: Vec<&Value> = CODES.into_iter().filter_map(|place| body.pointer(place)).collect();
    let given = codes.iter().copied().filter_map(number).find(|status| (400..600).contains(status));
    let named = || codes.iter().filter_map(|code| code.as_str()).find_map(status_of);
    given.and_then(|status| u16::try_from(status).ok()).or_else(named).unwrap_or(500)
}

fn status_of(name: &str) -> Option<u16> {
    match name {
        "invalid_request_error" | "BadRequestError" | "model_not_found" => Some(400),
        "authentication_error" | "permission_error" => Some(401),
        "rate_limit_exceeded" | "rate_limit_error" | "tokens" | "requests" => Some(429),
        _ => None,
    }
}
