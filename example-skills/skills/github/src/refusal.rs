//! What GitHub says when it does not give what was asked for: why, when to try again, and whether
//! a token might have helped.

use std::{
    io::Read as _,
    time::{SystemTime, UNIX_EPOCH},
};

use moxxy_sdk::{http::Response, skill::Error};
use serde_json::Value;

/// How much of an error's body is read, in bytes.
const BODY: u64 = 16 * 1024;
/// How much of what GitHub says is told, in characters.
const MESSAGE: usize = 400;

/// The error that a response is. `denial` says why there was no token, if there was none.
pub(crate) fn error(response: Response, denial: Option<String>) -> Error {
    let (status, wait) = (response.status(), wait(&response));
    let mut text = format!("GitHub answered {status}");
    if let Some(message) = message(response) {
        text.push_str(&format!(": {}", message.trim_end_matches('.')));
    }
    if let Some(seconds) = wait {
        text.push_str(&format!(". It may be tried again in {seconds} seconds"));
    }
    // To a search of what cannot be seen the answer is 422.
    if let (401 | 403 | 404 | 422 | 429, Some(denial)) = (status, denial) {
        text.push_str(&format!(". No token was granted, so there is only what is public: {denial}"));
    }
    if status == 422 { Error::invalid(text) } else { Error::failed(text) }
}

/// The message in the body, with what it says of details.
fn message(response: Response) -> Option<String> {
    let mut body = Vec::new();
    // What there is of it is enough.
    drop(response.take(BODY).read_to_end(&mut body));
    let body: Value = serde_json::from_slice(&body).ok()?;
    let text = |value: &Value| value.get("message")?.as_str().map(str::to_owned);
    let details = body.get("errors").and_then(Value::as_array).into_iter().flatten();
    let message = std::iter::once(&body).chain(details).filter_map(text).collect::<Vec<_>>().join(": ");
    (!message.is_empty()).then(|| message.chars().take(MESSAGE).collect())
}

/// For how many seconds GitHub wants no further requests, where that is why it refuses.
fn wait(response: &Response) -> Option<u64> {
    let number = |name| response.header(name)?.trim().parse::<u64>().ok();
    match (response.status(), number("Retry-After"), number("X-RateLimit-Remaining")) {
        (403 | 429, Some(seconds), _) => Some(seconds),
        (403 | 429, None, Some(0)) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
            Some(number("X-RateLimit-Reset")?.saturating_sub(now).max(1))
        }
        _ => None,
    }
}
