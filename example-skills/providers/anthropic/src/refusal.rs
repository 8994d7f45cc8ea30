//! What the service says when it does not do what it was asked, by the kinds that the host knows.

use moxxy_sdk::provider::{Error, Refusal, Request};
use serde_json::Value;

const TYPE: &str = "/error/type";
const TOO_LONG: [&str; 4] = ["prompt is too long", "exceed context limit", "context window", "too many tokens"];
const REFUSED: [&str; 3] = ["content filtering policy", "usage policy", "usage policies"];

/// Adaptation to a model that is not held to schemas, or refuses one.
pub(crate) const NO_FORMAT: &str = "no-format";
const FORMAT: [&str; 4] = ["output_config", "output_format", "output format", "structured output"];

/// The error that an answer other than success is.
pub(crate) fn error(refused: Refusal) -> Error {
    let message = refused.message();
    match refused.text(TYPE).unwrap_or_default() {
        "request_too_large" => Error::context_too_long(message, None),
        "invalid_request_error" if refused.says(&TOO_LONG) => Error::context_too_long(message, None),
        "invalid_request_error" if refused.says(&REFUSED) => Error::Refused(message),
        "invalid_request_error" if refused.says(&["credit balance"]) => Error::Other(message),
        "invalid_request_error" | "not_found_error" => Error::InvalidRequest(message),
        "authentication_error" | "permission_error" => Error::Authentication(message),
        "billing_error" => Error::Other(message),
        "rate_limit_error" => Error::RateLimited(refused.retry()),
        "overloaded_error" | "api_error" | "timeout_error" => Error::Overloaded(refused.retry()),
        _ if refused.status() == 413 => Error::context_too_long(message, None),
        _ => refused.into(),
    }
}

/// Returns the error of a request, or how the provider does without what the service refuses.
pub(crate) fn adapt(error: Error, request: &Request) -> Error {
    let Error::InvalidRequest(message) = &error else { return error };
    let told = message.to_lowercase();
    let is_about_format = request.response_schema.is_some() && FORMAT.iter().any(|words| told.contains(words));
    if is_about_format && !request.is_adapted(NO_FORMAT) { Error::unsupported(message, NO_FORMAT) } else { error }
}

/// The error that comes in the midst of a stream, where there is no status any more.
pub(crate) fn in_stream(body: Value) -> Error {
    error(Refusal::new(500, body))
}
