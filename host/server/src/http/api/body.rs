//! Request bodies: reads them within limits on size and time, and parses them.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
};
use bytes::BytesMut;
use futures_util::StreamExt as _;
use moxxy_schema::Patterns;
use moxxy_system::{json, tasks};
use moxxy_types::error::{Detail, Error};
use serde::de::IgnoredAny;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};

use crate::{
    config,
    http::{
        api::{
            answer::ApiError,
            extract::in_plain_words,
            schema::{self, RequestBody},
        },
        net::connections::ConnectionSlot,
        state::HttpState,
    },
};

/// Marker of routes whose bodies carry components.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Upload;

/// Returns the maximum size of a body that carries a component, in bytes. Base64 adds a third.
fn upload_limit(server: &config::Server) -> usize {
    server.upload_limit.saturating_add(server.upload_limit / 3).saturating_add(server.body_limit)
}

/// Reads a body to its end. Returns an error if the body is too large, or arrives too slowly.
pub(crate) async fn read(parts: &Parts, body: Body, state: &HttpState) -> Result<Bytes, ApiError> {
    let server = &state.config.server;
    let limit = if parts.extensions.get::<Upload>().is_some() { upload_limit(server) } else { server.body_limit };
    let too_large = || Error::too_large(format!("The body is larger than {limit} bytes"));
    let announced = parts.headers.get(header::CONTENT_LENGTH);
    let announced: Option<usize> = announced.and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large().into());
    }
    // Held by a body above `body_limit`; the number of such bodies is limited.
    let mut place = None;
    // The connection counts as idle while it waits for the body, so it may be evicted.
    let _waiting = parts.extensions.get::<Arc<ConnectionSlot>>().map(|seat| seat.waiting());
    let end = Instant::now() + Duration::from_secs(server.body_time);
    let pause = Duration::from_secs(server.body_pause);
    let (mut pieces, mut whole) = (body.into_data_stream(), BytesMut::new());
    loop {
        let next = timeout_at(end.min(Instant::now() + pause), pieces.next()).await.map_err(|_| too_slow())?;
        let Some(piece) = next else {
            return Ok(Bytes::from_owner(BodyWithPermit { whole: whole.freeze(), _place: place }));
        };
        let piece = piece.map_err(|_| Error::invalid("broken_body", "The body could not be read to its end"))?;
        if whole.len() + piece.len() > limit {
            return Err(too_large().into());
        }
        if whole.len() + piece.len() > server.body_limit && place.is_none() {
            let busy = |_| Error::unavailable("busy", "Too many components are being uploaded; try again later");
            place = Some(Arc::clone(&state.uploads).try_acquire_owned().map_err(busy)?);
            whole.reserve(announced.unwrap_or_default());
        }
        whole.extend_from_slice(&piece);
    }
}

/// Body with its upload permit, if it is large.
struct BodyWithPermit {
    whole: Bytes,
    _place: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for BodyWithPermit {
    fn as_ref(&self) -> &[u8] {
        &self.whole
    }
}

pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json") || essence.to_ascii_lowercase().ends_with("+json")
}

/// Parses a JSON body, off the server's worker threads if it is large.
pub(crate) async fn parsed<T: RequestBody + Send + 'static>(body: Bytes) -> Result<T, ApiError> {
    tasks::run_sized(body.len(), move || parse(&body)).await?.map_err(Into::into)
}

fn parse<T: RequestBody>(body: &[u8]) -> Result<T, Error> {
    let (depth, values) = json::shape(body);
    if depth > json::MAX_DEPTH {
        return Err(Error::invalid_field("body", format!("it nests at most {} levels deep", json::MAX_DEPTH)));
    }
    if values > json::MAX_VALUES {
        return Err(Error::invalid_field("body", format!("it holds at most {} values", json::MAX_VALUES)));
    }
    let _: IgnoredAny = serde_json::from_slice(body)
        .map_err(|error| Error::invalid("malformed_json", format!("The body is not JSON: {error}")))?;
    // Serde would read an array as the fields of a struct.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Error::invalid_field("body", "it is a JSON object"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let field = error.path().to_string();
        let field = if field == "." { "body" } else { &field };
        let first = Detail::field(field, in_plain_words(&error.inner().to_string()));
        Error::invalid_fields(with_others::<T>(first, body))
    })
}

/// Returns the invalid field at which parsing ended, and all others that the schema of the body finds.
fn with_others<T: RequestBody>(first: Detail, body: &[u8]) -> Vec<Detail> {
    let Ok(value) = serde_json::from_slice(body) else { return vec![first] };
    let schema = moxxy_schema::Schema::new(&schema::inline::<T>().to_value(), &mut Patterns::default());
    let found = schema.mismatches(&value).into_iter().map(|wrong| match &*wrong.place {
        "" => Detail::field("body", wrong.reason),
        place => Detail::field(place, wrong.reason),
    });
    let others =
        found.filter(|other| other.pointer != first.pointer && !first.reason.contains(&format!("`{}`", other.field)));
    std::iter::once(first.clone()).chain(others).collect()
}

pub(crate) fn unsupported() -> ApiError {
    let message = "The body has to be JSON: send `Content-Type: application/json`";
    ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
}

fn too_slow() -> ApiError {
    let message = "The body came too slowly, or stopped; send it again";
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "too_slow", message)
        .with(header::CONNECTION, HeaderValue::from_static("close"))
}
