//! Success responses of handlers. The type determines status and headers, both on the wire and in the OpenAPI document.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use moxxy_types::error::Error;
use serde::Serialize;

use crate::{
    http::api::{answer::ApiError, idempotency::Secret},
    services::etag::{self, Versioned},
};

/// 200 with JSON.
#[derive(Debug)]
pub(crate) struct Body<T>(pub T);

/// 200 with one resource and its `ETag`.
#[derive(Debug)]
pub(crate) struct WithEtag<T>(pub T);

/// 200 with one page of a list, and a `Link` to the next.
#[derive(Debug)]
pub(crate) struct Paginated<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

/// 201 with the created resource and its `Location`.
#[derive(Debug)]
pub(crate) struct Created<T> {
    location: String,
    made: T,
    secret: bool,
    extra: HeaderMap,
}

/// 204.
#[derive(Debug)]
pub(crate) struct Deleted;

impl<T> Created<T> {
    pub(crate) fn new(location: String, made: T) -> Self {
        Self { location, made, secret: false, extra: HeaderMap::new() }
    }

    /// Marks a response that shows a secret, which is shown only once.
    pub(crate) fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    pub(crate) fn with(mut self, headers: HeaderMap) -> Self {
        self.extra = headers;
        self
    }
}

impl<T: Serialize> IntoResponse for Body<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(json) => ([(header::CONTENT_TYPE, JSON)], json).into_response(),
            Err(error) => ApiError::from(Error::internal(error)).into_response(),
        }
    }
}

impl<T: Versioned> IntoResponse for WithEtag<T> {
    fn into_response(self) -> Response {
        match etag::tag(&self.0) {
            Ok(tag) => (headers([(header::ETAG, format!("\"{tag}\""))]), Body(self.0)).into_response(),
            Err(error) => ApiError::from(error).into_response(),
        }
    }
}

impl<T: Serialize> IntoResponse for Paginated<T> {
    fn into_response(self) -> Response {
        let next = self.next.map(|next| (header::LINK, format!("<{next}>; rel=\"next\"")));
        (headers(next), Body(self.items)).into_response()
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let made = self.secret.then(|| Secret(self.location.rsplit('/').next().unwrap_or_default().to_owned()));
        let mut response =
            (StatusCode::CREATED, headers([(header::LOCATION, self.location)]), Body(self.made)).into_response();
        if let Some(made) = made {
            response.extensions_mut().insert(made);
        }
        response.headers_mut().extend(self.extra);
        response
    }
}

impl IntoResponse for Deleted {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// Header with the id of the run that answers.
pub(crate) const RUN_ID: HeaderName = HeaderName::from_static("x-moxxy-run-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Builds a header map. The values consist of checked names and digits, so they are always valid.
fn headers(pairs: impl IntoIterator<Item = (HeaderName, String)>) -> axum::http::HeaderMap {
    pairs.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?))).collect()
}
