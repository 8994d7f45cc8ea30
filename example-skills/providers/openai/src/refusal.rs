//! What a service says when it does not do what it was asked, by the kinds that the host knows. The
//! services agree on little but the status, so their words count too.

use moxxy_sdk::provider::{Error, Refusal};
use serde_json::Value;

const CODES: [&str; 3] = ["/error/code", "/error/type", "/code"];
const TOO_LONG: [&str; 8] = [
    "maximum context length",
    "context length",
    "context window",
    "context size",
    "context_length",
    "prompt is too long",
    "too many tokens",
    "reduce the length",
];
const REFUSED: [&str; 6] =
    ["content management policy", "content policy", "content filter", "usage policies", "flagged", "safety system"];

/// The error that an answer other than success is.
pub(crate) fn error(refused: Refusal) -> Error {
    let status = refused.status();
    let codes: Vec<&str> = CODES.into_iter().filter_map(|place| refused.text(place)).collect();
    let is = |known: &[&str]| codes.iter().any(|code| known.contains(code));
    // What is wrong with the request itself, be it said with 400 or with another status.
    let about_request = matches!(status, 400 | 403 | 413 | 422 | 500);
    match () {
        () if is(&["context_length_exceeded", "exceed_context_size_error"]) || status == 413 => {
            Error::ContextTooLong(refused.message())
        }
        () if is(&["content_filter", "content_policy_violation", "content_moderation"]) => {
            Error::Refused(refused.message())
        }
        () if is(&["insufficient_quota", "billing_hard_limit_reached"]) => Error::Other(refused.message()),
        () if is(&["invalid_api_key"]) => Error::Authentication(refused.message()),
        () if about_request && refused.says(&TOO_LONG) => Error::ContextTooLong(refused.message()),
        () if about_request && refused.says(&REFUSED) => Error::Refused(refused.message()),
        () => refused.into(),
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
