//! What happens around every request, from the outside in: an id, one shape for every error, one
//! for a panic.

use std::{any::Any, time::Instant};

use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode},
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;

use super::answer::Answer;
use crate::ids;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub fn around(routes: Router) -> Router {
    routes.layer(CatchPanicLayer::custom(panicked)).layer(from_fn(finish))
}

/// Gives the request an id, and every error its body.
async fn finish(request: Request, next: Next) -> Response {
    let id = request.headers().get(REQUEST_ID).and_then(acceptable).unwrap_or_else(ids::request);
    let headers = request.headers().clone();
    let span = tracing::info_span!("request", id = %id, method = %request.method(), path = request.uri().path());
    let started = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.status();
    span.in_scope(|| tracing::debug!(status = status.as_u16(), elapsed = ?started.elapsed(), "answered"));
    if let Some(answer) = response.extensions_mut().remove::<Answer>().or_else(|| framework(status)) {
        let (parts, _) = response.into_parts();
        response = answer.render(&headers, &id);
        // Such as `Allow`.
        for (name, value) in &parts.headers {
            response.headers_mut().entry(name).or_insert_with(|| value.clone());
        }
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// A client's own id, if it is short and plain enough for a log.
fn acceptable(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    (plain && (1..=128).contains(&text.len())).then(|| text.to_owned())
}

/// The body of an error that the framework made by itself.
fn framework(status: StatusCode) -> Option<Answer> {
    (status == StatusCode::METHOD_NOT_ALLOWED)
        .then(|| Answer::new(status, "method_not_allowed", "This address does not take this method; see `Allow`"))
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let what = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = what.unwrap_or("unknown"), "a handler panicked");
    let message = "Something went wrong inside the server; its log has the details under this request's id";
    Answer::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message).into_response()
}
