//! Errors in the format of OpenAI's API, on the routes that speak it. Our own fields stand beside it.

use axum::http::StatusCode;
use moxxy_types::error::{Detail, Problem};
use serde_json::{Value, json};

/// Routes of OpenAI's API, and those below them.
const ROUTES: [&str; 3] = ["/v1/chat/completions", "/v1/models", "/v1/responses"];

/// Whether clients of OpenAI's API call this path.
pub(crate) fn applies_to(path: &str) -> bool {
    ROUTES.iter().any(|route| path.strip_prefix(route).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Returns the `error` of a body. `param` is the first wrong field.
pub(crate) fn error(status: StatusCode, problem: &Problem, details: &[Detail]) -> Value {
    json!({
        "message": problem.message,
        "type": kind(status),
        "code": problem.code,
        "param": details.first().map(|detail| &detail.field),
    })
}

fn kind(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_client_error() => "invalid_request_error",
        _ => "server_error",
    }
}
