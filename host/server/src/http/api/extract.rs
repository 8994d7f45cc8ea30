//! Extractors that validate input: JSON bodies, paths, queries and conditions. Their errors name the invalid field, and
//! the OpenAPI document describes each of them.

use axum::{
    extract::{FromRequest, FromRequestParts, Request, path::ErrorKind, rejection::PathRejection},
    http::{Uri, header, request::Parts},
};
use moxxy_types::error::{Detail, Error, Problem};
use serde::de::{
    DeserializeOwned, IntoDeserializer as _,
    value::{self, SeqDeserializer},
};
use serde_path_to_error::Segment;

use crate::{
    http::api::{answer::ApiError, body, paging, schema::RequestBody},
    http::state::HttpState,
    services::etag::Expected,
};

pub(crate) use paging::Paging;

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Json<T>(pub T);

/// A JSON body, or the default when the body is empty.
#[derive(Debug)]
pub(crate) struct OptionalJson<T>(pub T);

/// The names and ids in a path.
#[derive(Debug)]
pub(crate) struct Path<T>(pub T);

/// The query parameters.
#[derive(Debug)]
pub(crate) struct Query<T>(pub T);

/// `If-Match`: the versions that a change may replace.
#[derive(Debug)]
pub(crate) struct IfMatch(pub Expected);

impl<T: RequestBody + Send + 'static> FromRequest<HttpState> for Json<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &HttpState) -> Result<Self, ApiError> {
        if !body::is_json(request.headers()) {
            return Err(body::unsupported());
        }
        let (parts, sent) = request.into_parts();
        body::parsed(body::read(&parts, sent, state).await?).await.map(Self)
    }
}

impl<T: RequestBody + Default + Send + 'static> FromRequest<HttpState> for OptionalJson<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &HttpState) -> Result<Self, ApiError> {
        let (parts, sent) = request.into_parts();
        let sent = body::read(&parts, sent, state).await?;
        match sent.is_empty() {
            true => Ok(Self(T::default())),
            false if body::is_json(&parts.headers) => body::parsed(sent).await.map(Self),
            false => Err(body::unsupported()),
        }
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<HttpState> for Path<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, ApiError> {
        let path = axum::extract::Path::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let axum::extract::Path(named) = path.map_err(unreadable)?;
        let values = named.iter().map(|(_, value)| value.as_str());
        let parsed = match &*named {
            [(_, only)] => T::deserialize(only.as_str().into_deserializer()).map_err(|error| (0, error)),
            _ => serde_path_to_error::deserialize(SeqDeserializer::new(values)).map_err(|error| {
                let segment = error.path().iter().next();
                (if let Some(Segment::Seq { index }) = segment { *index } else { 0 }, error.into_inner())
            }),
        };
        parsed.map(Self).map_err(|(at, error): (usize, value::Error)| {
            let name = named.get(at).map_or("path", |(name, _)| name);
            wrong_path(name, &error.to_string()).into()
        })
    }
}

impl<T: DeserializeOwned> FromRequestParts<HttpState> for Query<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &HttpState) -> Result<Self, ApiError> {
        query(&parts.uri).map(Self)
    }
}

pub(crate) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, ApiError> {
    let query = serde_html_form::Deserializer::from_bytes(uri.query().unwrap_or_default().as_bytes());
    serde_path_to_error::deserialize(query).map_err(|error| {
        let parameter = error.path().iter().next().map_or_else(|| "query".to_owned(), ToString::to_string);
        wrong_query(&parameter, &in_plain_words(&error.inner().to_string())).into()
    })
}

pub(crate) fn wrong_query(parameter: &str, reason: &str) -> Error {
    wrong("invalid_query", format!("The query is wrong: `{parameter}`: {reason}"), parameter, reason)
}

fn wrong_path(name: &str, reason: &str) -> Error {
    wrong("invalid_path", format!("The address is wrong: `{name}`: {reason}"), name, reason)
}

/// Converts the rejection of a path, such as one that is not UTF-8.
fn unreadable(rejection: PathRejection) -> Error {
    match rejection {
        PathRejection::FailedToDeserializePathParams(failure) => match failure.into_kind() {
            ErrorKind::InvalidUtf8InPathParam { key } => wrong_path(&key, "it is not UTF-8 behind its percent signs"),
            other => Error::internal(other.to_string()),
        },
        other => Error::internal(other),
    }
}

fn wrong(code: &'static str, message: String, field: &str, reason: &str) -> Error {
    Error::Invalid(Problem::new(code, message), vec![Detail::parameter(field, reason)])
}

impl FromRequestParts<HttpState> for IfMatch {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &HttpState) -> Result<Self, ApiError> {
        let lines = parts.headers.get_all(header::IF_MATCH);
        let mut tags = Vec::new();
        for line in lines {
            let line = line.to_str().map_err(|_| Error::invalid_parameter("If-Match", "it is not readable"))?;
            tags.extend(line.split(',').map(str::trim));
        }
        if tags.is_empty() || tags.contains(&"*") {
            return Ok(Self(Expected::Any));
        }
        // Weak tags never match here (RFC 9110), and neither do malformed ones.
        let strong = |tag: &&str| tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).map(str::to_owned);
        Ok(Self(Expected::OneOf(tags.iter().filter_map(strong).collect())))
    }
}

/// Rewrites a parser message without the names of Rust types.
pub(crate) fn in_plain_words(message: &str) -> String {
    match message {
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            return "it is a whole number".into();
        }
        "number too large to fit in target type" => return "it is too large".into(),
        "unsupported value" => return "it stands here more than once".into(),
        _ => {}
    }
    let Some((said, expected)) = message.split_once("expected ") else { return message.to_owned() };
    let (expected, place) = expected.split_once(" at line ").unwrap_or((expected, ""));
    let plain = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not below 0",
        "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" | "string" | "str" => "a text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" | "map" => "an object",
        of if of.starts_with("struct ") || of.starts_with("internally tagged") => "an object",
        other => other,
    };
    let place = if place.is_empty() { String::new() } else { format!(" at line {place}") };
    format!("{said}expected {plain}{place}")
}
