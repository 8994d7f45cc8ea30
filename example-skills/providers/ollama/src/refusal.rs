//! What the server says when it does not do what it was asked, by the kinds that the host knows.

use moxxy_sdk::provider::{Error, Refusal};
use serde_json::Value;

const TOO_LONG: [&str; 4] = ["context length", "context window", "context size", "exceed_context_size"];

/// The error that an answer other than success is.
pub(crate) fn error(refused: Refusal) -> Error {
    match refused.status() {
        400 | 413 | 500 if refused.says(&TOO_LONG) => Error::ContextTooLong(refused.message()),
        // It has no more of it a little later.
        500 if refused.says(&["requires more system memory"]) => Error::Other(refused.message()),
        _ => refused.into(),
    }
}

/// The error that comes in the midst of a stream, where there is no status any more.
pub(crate) fn in_stream(body: Value) -> Error {
    error(Refusal::new(500, body))
}
