//! Middleware around every request, from the outside in: request id and error format, panic handler, CORS, rejection of
//! tokens in URLs, client address, authentication, rate limits.

use std::{any::Any, time::Instant};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use moxxy_types::error::{DATABASE_DAMAGED, Result};
use percent_encoding::percent_decode_str;
use tower_http::{catch_panic::CatchPanicLayer, cors::CorsLayer};
use tracing::Instrument as _;

use crate::{
    http::{
        api::{answer::ApiError, auth, idempotency, openai_error, reply},
        net::{
            limits::{Client, Failures, Requests},
            loopback::Peer,
            trace::{self, Trace},
        },
        state::HttpState,
    },
    services::{self, tokens},
};

/// Request headers that a web page of an allowed origin may send.
const CORS_ALLOWED_HEADERS: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("prefer"),
    idempotency::KEY,
    trace::REQUEST_ID,
    trace::TRACEPARENT,
];
/// Response headers that such a page may read.
const CORS_EXPOSED_HEADERS: [HeaderName; 11] = [
    header::ALLOW,
    header::ETAG,
    header::LINK,
    header::LOCATION,
    header::RETRY_AFTER,
    header::WWW_AUTHENTICATE,
    idempotency::REPLAYED,
    HeaderName::from_static("preference-applied"),
    reply::RUN_ID,
    trace::REQUEST_ID,
    trace::TRACEPARENT,
];

/// Adds the middleware to the routes. `limited` is subject to rate limits, `free` is not.
pub(crate) fn apply_middleware(state: &HttpState, limited: Router, free: Router) -> Result<Router> {
    let requests = Requests::new(&state.config.rate_limit)?;
    let failures = Failures::new(&state.config.rate_limit)?;
    crate::http::net::limits::sweep(state.app.background.tasks(), &requests, &failures);
    let read = from_fn_with_state((state.clone(), failures.clone()), auth::read);
    let located = from_fn_with_state((state.clone(), failures), identify_client);
    let limited =
        limited.layer(requests.layer(|refused| ApiError::from(refused).into_response())).layer(read).layer(located);
    let routes = limited.merge(free).layer(from_fn(without_token));
    let routes = match &*state.config.server.origins {
        [] => routes,
        origins => routes.layer(cors(origins)),
    };
    Ok(routes.layer(CatchPanicLayer::custom(panicked)).layer(from_fn_with_state(state.clone(), finalize)))
}

fn cors(origins: &[String]) -> CorsLayer {
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    // Validated with the configuration.
    let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    CorsLayer::new()
        .allow_origin(origins.collect::<Vec<_>>())
        .allow_methods(methods)
        .allow_headers(CORS_ALLOWED_HEADERS)
        .expose_headers(CORS_EXPOSED_HEADERS)
}

/// Assigns the request an id, adds the body of an error, and returns 304 if the client has the response already.
async fn finalize(State(state): State<HttpState>, mut request: Request, next: Next) -> Response {
    let (id, trace) = (trace::request_id(request.headers()), Trace::from_headers(request.headers()));
    let (headers, method) = (request.headers().clone(), request.method().clone());
    // A token must not get into the log.
    let path = if holds_token(request.uri()) { "hidden" } else { request.uri().path() };
    let span = tracing::info_span!("request", %id, trace = %trace.id, %method, path);
    let (parent, is_openai) = (trace.parent(), openai_error::applies_to(request.uri().path()));
    request.extensions_mut().insert(trace);
    let started = Instant::now();
    let mut response = services::handle_request(next.run(request)).instrument(span.clone()).await;
    let status = response.status();
    span.in_scope(|| tracing::debug!(status = status.as_u16(), elapsed = ?started.elapsed(), "request completed"));
    if let Some(answer) = response.extensions_mut().remove::<ApiError>().or_else(|| framework(status)) {
        if answer.problem().code == DATABASE_DAMAGED {
            state.app.components.record_damage();
        }
        let (parts, _) = response.into_parts();
        response = answer.render(&headers, &id, is_openai);
        // Keeps headers such as `Allow`.
        for (name, value) in &parts.headers {
            response.headers_mut().entry(name).or_insert_with(|| value.clone());
        }
    }
    if matches!(method, Method::GET | Method::HEAD) && is_known(&headers, &response) {
        let (mut parts, _) = response.into_parts();
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        response = Response::from_parts(parts, axum::body::Body::empty());
    }
    let made = [(trace::REQUEST_ID, HeaderValue::from_str(&id).ok()), (trace::TRACEPARENT, parent)];
    response.headers_mut().extend(made.into_iter().filter_map(|(name, value)| Some((name, value?))));
    response
}

/// Returns whether the client has this response already (`If-None-Match`).
fn is_known(headers: &HeaderMap, response: &Response) -> bool {
    let Some(tag) = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()) else { return false };
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    let mut known = known.flat_map(|line| line.split(',')).map(|known| known.trim().trim_start_matches("W/"));
    response.status() == StatusCode::OK && known.any(|known| known == tag || known == "*")
}

/// Rejects a token in a URL, because URLs are written to logs and histories.
async fn without_token(request: Request, next: Next) -> Response {
    if holds_token(request.uri()) {
        let message = "An address holds a token here: it is in logs now, so revoke it; \
                       send the next one as `Authorization: Bearer mox_…`";
        return ApiError::new(StatusCode::BAD_REQUEST, "token_in_url", message).into_response();
    }
    next.run(request).await
}

fn holds_token(uri: &Uri) -> bool {
    let address = uri.path_and_query().map_or("", |address| address.as_str());
    // Decoding does not change a token that is not percent-encoded.
    let decoded = percent_decode_str(address).decode_utf8_lossy();
    let mut names = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).map(|(name, _)| name);
    tokens::holds_token(&decoded)
        || names
            .any(|name| matches!(&*name.to_ascii_lowercase(), "token" | "access_token" | "api_key" | "authorization"))
}

/// Adds the client's address and the failure buckets to the request.
async fn identify_client(
    State((state, failures)): State<(HttpState, Failures)>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(peer) = request.extensions().get::<Peer>() {
        let client = Client::identify(peer, request.headers(), &state.config.server);
        request.extensions_mut().insert(client);
    }
    request.extensions_mut().insert(failures);
    next.run(request).await
}

/// Returns the error for a response that axum generated itself.
fn framework(status: StatusCode) -> Option<ApiError> {
    (status == StatusCode::METHOD_NOT_ALLOWED)
        .then(|| ApiError::new(status, "method_not_allowed", "This address does not take this method; see `Allow`"))
}

pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let what = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = what.unwrap_or("unknown"), "a handler panicked");
    let message = "Something went wrong inside the server; its log has the details under this request's id";
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message).into_response()
}
