//! Error responses: maps errors to status codes, and renders all of them in one format.

use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use moxxy_types::error::{Detail, Error, Problem};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::http::{api::openai_error, net::limits::RateLimited};

pub(crate) type Result<T, E = ApiError> = std::result::Result<T, E>;

/// `WWW-Authenticate` value of a 401 (RFC 6750).
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"moxxy\"");

/// Media type of errors in the format of RFC 9457.
const PROBLEM: &str = "application/problem+json";

/// Error response. The middleware adds its body, because only there the request id is known.
#[derive(Debug, Clone)]
pub(crate) struct ApiError(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    status: StatusCode,
    problem: Problem,
    details: Vec<Detail>,
    headers: HeaderMap,
}

/// Stored part of an error that is replayed.
#[derive(Serialize, Deserialize)]
struct StoredError {
    code: String,
    message: String,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self::with_details(status, Problem::new(code, message), Vec::new())
    }

    fn with_details(status: StatusCode, problem: Problem, details: Vec<Detail>) -> Self {
        Self(Box::new(Parts { status, problem, details, headers: HeaderMap::new() }))
    }

    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    pub(crate) fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// Serializes the problem for storage.
    pub(crate) fn to_stored(&self) -> Vec<u8> {
        let stored =
            StoredError { code: self.0.problem.code.clone().into_owned(), message: self.0.problem.message.clone() };
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// Restores an error from its stored problem.
    pub(crate) fn from_stored(status: StatusCode, stored: &[u8]) -> Result<Self, Error> {
        let StoredError { code, message } = serde_json::from_slice(stored).map_err(Error::internal)?;
        Ok(Self::with_details(status, Problem::new(code, message), Vec::new()))
    }

    /// Returns the `error` of a body in the format of OpenAI's API.
    pub(crate) fn as_openai(&self) -> Value {
        openai_error::error(self.0.status, &self.0.problem, &self.0.details)
    }

    /// Renders the response: as RFC 9457 if the client accepts it, in the plain format otherwise. `is_openai`: on a route
    /// of OpenAI's API.
    pub(crate) fn render(self, asked: &HeaderMap, request_id: &str, is_openai: bool) -> Response {
        let is_problem = accepts(asked, PROBLEM);
        let mut body = json!({
            "error": if is_openai && !is_problem { self.as_openai() } else { json!(self.0.problem.message) },
            "code": self.0.problem.code,
            "request_id": request_id,
        });
        if !self.0.details.is_empty() {
            extend(&mut body, json!({ "details": self.0.details }));
        }
        if !is_problem {
            return (self.0.status, Json(body)).into_response();
        }
        let title = self.0.status.canonical_reason().unwrap_or_default();
        let detail = self.0.problem.message;
        let standard =
            json!({ "type": "about:blank", "title": title, "status": self.0.status.as_u16(), "detail": detail });
        extend(&mut body, standard);
        (self.0.status, [(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM))], Json(body)).into_response()
    }
}

impl From<RateLimited> for ApiError {
    fn from(RateLimited { retry_after_seconds: seconds }: RateLimited) -> Self {
        let message = format!("Too many requests; try again in {seconds} s");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message)
            .with(header::RETRY_AFTER, HeaderValue::from(seconds))
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let chain = format!("{error:?}");
        let challenged = matches!(error, Error::Unauthenticated(_));
        let later = matches!(error, Error::Unavailable(_)) && !error.is_permanent();
        let (status, problem, details) = match error {
            Error::NotFound(problem) => (StatusCode::NOT_FOUND, problem, Vec::new()),
            Error::Conflict(problem, details) => (StatusCode::CONFLICT, problem, details),
            Error::Invalid(problem, details) => (StatusCode::BAD_REQUEST, problem, details),
            Error::Stale(problem) => (StatusCode::PRECONDITION_FAILED, problem, Vec::new()),
            Error::TooLarge(problem) => (StatusCode::PAYLOAD_TOO_LARGE, problem, Vec::new()),
            Error::Unauthenticated(problem) => (StatusCode::UNAUTHORIZED, problem, Vec::new()),
            Error::Forbidden(problem) => (StatusCode::FORBIDDEN, problem, Vec::new()),
            Error::ComponentError(problem) | Error::ComponentFault(problem) => {
                (StatusCode::INTERNAL_SERVER_ERROR, problem, Vec::new())
            }
            Error::Exhausted(problem) => (StatusCode::TOO_MANY_REQUESTS, problem, Vec::new()),
            Error::Unavailable(problem) => (StatusCode::SERVICE_UNAVAILABLE, problem, Vec::new()),
            Error::Internal(_) => {
                tracing::error!(error = %chain, "a request failed inside the server");
                let message = "Something went wrong inside the server; its log has the details under this request's id";
                (StatusCode::INTERNAL_SERVER_ERROR, Problem::new("internal", message), Vec::new())
            }
        };
        let answer = Self::with_details(status, problem, details);
        match (challenged, later) {
            (true, _) => answer.with(header::WWW_AUTHENTICATE, CHALLENGE),
            (_, true) => answer.with(header::RETRY_AFTER, HeaderValue::from_static("1")),
            _ => answer,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.0.status, self.0.headers.clone()).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

pub(crate) async fn no_route() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "route_not_found",
        "There is nothing at this address: `/docs` shows what there is, `/v1/openapi.json` tells programs",
    )
}

/// Returns whether `Accept` lists this media type with a weight above 0 (RFC 9110). `*/*` does not count.
fn accepts(headers: &HeaderMap, media: &str) -> bool {
    let lines = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(media));
        let mut weights =
            parts.filter_map(|part| part.split_once('=')).filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        named && !weights.any(|(_, weight)| weight.trim().parse() == Ok(0.0))
    })
}

/// Adds the fields of another object.
pub(crate) fn extend(body: &mut Value, more: Value) {
    if let (Value::Object(body), Value::Object(more)) = (body, more) {
        body.extend(more);
    }
}
