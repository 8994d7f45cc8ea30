//! Input, checked on its way in: JSON bodies, paths and queries, each with an error in the one
//! shape that names the field.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::Answer;
use crate::{app::App, config, error::Error, json};

/// A JSON body.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// A JSON body, or the default when the body is empty.
#[derive(Debug)]
pub struct OptionalJson<T>(pub T);

/// The names and ids in a path.
#[derive(Debug)]
pub struct Path<T>(pub T);

/// The parameters behind the question mark.
#[derive(Debug)]
pub struct Query<T>(pub T);

/// The largest body that carries a component: in base64 it is a third larger.
pub fn upload_limit(server: &config::Server) -> usize {
    server.upload_limit.saturating_add(server.upload_limit / 3).saturating_add(server.body_limit)
}

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Answer;
    async fn from_request(request: Request, app: &App) -> Result<Self, Answer> {
        if !is_json(request.headers()) {
            return Err(unsupported());
        }
        parse(&body(request, app).await?).map(Self)
    }
}

impl<T: DeserializeOwned + Default> FromRequest<App> for OptionalJson<T> {
    type Rejection = Answer;
    async fn from_request(request: Request, app: &App) -> Result<Self, Answer> {
        let json = is_json(request.headers());
        let body = body(request, app).await?;
        match body.is_empty() {
            true => Ok(Self(T::default())),
            false if json => parse(&body).map(Self),
            false => Err(unsupported()),
        }
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Path<T> {
    type Rejection = Answer;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Answer> {
        let path = axum::extract::Path::from_request_parts(parts, app).await;
        path.map(|axum::extract::Path(value)| Self(value)).map_err(|rejection| {
            Error::invalid("invalid_path", format!("The address is wrong: {}", rejection.body_text())).into()
        })
    }
}

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Answer;
    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Answer> {
        let query = parts.uri.query().unwrap_or_default();
        let parsed = serde_html_form::from_str(query).map(Self);
        parsed.map_err(|e| Error::invalid("invalid_query", format!("The query is wrong: {e}")).into())
    }
}

async fn body(request: Request, app: &App) -> Result<Bytes, Answer> {
    Bytes::from_request(request, app).await.map_err(|rejection| match rejection {
        BytesRejection::FailedToBufferBody(failed) if failed.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Error::too_large("The body is too large").into()
        }
        _ => Error::invalid("broken_body", "The body could not be read to its end").into(),
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json") || essence.to_ascii_lowercase().ends_with("+json")
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Answer> {
    let value: Value = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
    if !value.is_object() {
        return Err(Error::invalid_field("body", "it is a JSON object").into());
    }
    if !json::is_shallow(&value) {
        return Err(Error::invalid_field("body", format!("it nests at most {} levels deep", json::DEPTH)).into());
    }
    // From the text again, not from the value: that would let a field stand twice.
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let field = error.path().to_string();
        let field = if field == "." { "body" } else { &field };
        Error::invalid_field(field, error.inner().to_string())
    })?;
    Ok(parsed)
}

fn unsupported() -> Answer {
    let message = "The body has to be JSON: send `Content-Type: application/json`";
    Answer::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
}

fn malformed(error: &serde_json::Error) -> Error {
    Error::invalid("malformed_json", format!("The body is not JSON: {error}"))
}
