//! What the server says when it does not do what it was asked, by the kinds that the host knows.

use moxxy_sdk::provider::{Error, Refusal, Request};
use serde_json::Value;

const TOO_LONG: [&str; 4] = ["context length", "context window", "context size", "exceed_context_size"];

/// The error that an answer other than success is.
pub(crate) fn error(refused: Refusal) -> Error {
    match refused.status() {
        400 | 413 | 500 if refused.says(&TOO_LONG) => Error::context_too_long(refused.message(), None),
        // It has no more of it a little later.
        500 if refused.says(&["requires more system memory"]) => Error::Other(refused.message()),
        _ => refused.into(),
    }
}

/// Adaptations to models without tools, and without thoughts.
pub(crate) const NO_TOOLS: &str = "no-tools";
pub(crate) const NO_THINKING: &str = "no-thinking";

/// Returns the error of a request, or how the provider does without what the model refuses.
pub(crate) fn adapt(error: Error, request: &Request) -> Error {
    let Error::InvalidRequest(message) = &error else { return error };
    let told = message.to_lowercase();
    let adaptation = match () {
        () if told.contains("does not support tools") => NO_TOOLS,
        () if told.contains("does not support thinking") => NO_THINKING,
        () => return error,
    };
    if request.is_adapted(adaptation) { error } else { Error::unsupported(message, adaptation) }
}

/// The error that comes in the midst of a stream, where there is no status any more.
pub(crate) fn in_stream(body: Value) -> Error {
    error(Refusal::new(500, body))
}
