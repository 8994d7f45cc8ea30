//! Input, checked on its way in: JSON bodies, paths, queries and conditions, each with an error in
//! the one shape that names the field, and each described in the OpenAPI document.

use std::{sync::Arc, time::Duration};

use aide::{
    OperationInput,
    generate::GenContext,
    openapi::{MediaType, Operation, ReferenceOr, RequestBody, SchemaObject},
    operation::{ParamLocation, add_parameters, parameters_from_schema, set_body},
};
use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Request, path::ErrorKind, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header, request::Parts},
};
use bytes::BytesMut;
use futures_util::StreamExt as _;
use schemars::JsonSchema;
use serde::de::{
    DeserializeOwned, IgnoredAny, IntoDeserializer as _,
    value::{self, SeqDeserializer},
};
use serde_json::Value;
use serde_path_to_error::Segment;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};

use super::{answer::Answer, connections::Seat, openapi, paging};
use crate::{
    app::App,
    config,
    domain::version::Expected,
    error::{Detail, Error, Problem},
    json, tasks,
};

pub use paging::Paging;

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

/// `If-Match`: the versions that a change is meant for.
#[derive(Debug)]
pub struct IfMatch(pub Expected);

/// A body that clients send, with an example of it.
pub trait Taken: DeserializeOwned + JsonSchema {
    fn example() -> Value;
}

/// On routes whose bodies carry components.
#[derive(Debug, Clone, Copy)]
pub struct Upload;

/// The largest body that carries a component: in base64 it is a third larger.
fn upload_limit(server: &config::Server) -> usize {
    server.upload_limit.saturating_add(server.upload_limit / 3).saturating_add(server.body_limit)
}

/// Reads a body to its end, within the limits on its size and on how slowly it may come.
pub async fn body(parts: &Parts, body: Body, app: &App) -> Result<Bytes, Answer> {
    let server = &app.config.server;
    let limit = if parts.extensions.get::<Upload>().is_some() { upload_limit(server) } else { server.body_limit };
    let too_large = || Error::too_large(format!("The body is larger than {limit} bytes"));
    let announced = parts.headers.get(header::CONTENT_LENGTH);
    let announced: Option<usize> = announced.and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large().into());
    }
    // There are only so many large ones at once.
    let mut place = None;
    // A connection whose client sends nothing may be closed for another's sake.
    let _waiting = parts.extensions.get::<Arc<Seat>>().map(|seat| seat.waiting());
    let end = Instant::now() + Duration::from_secs(server.body_time);
    let pause = Duration::from_secs(server.body_pause);
    let (mut pieces, mut whole) = (body.into_data_stream(), BytesMut::new());
    loop {
        let next = timeout_at(end.min(Instant::now() + pause), pieces.next()).await.map_err(|_| too_slow())?;
        let Some(piece) = next else { return Ok(Bytes::from_owner(Held { whole: whole.freeze(), _place: place })) };
        let piece = piece.map_err(|_| Error::invalid("broken_body", "The body could not be read to its end"))?;
        if whole.len() + piece.len() > limit {
            return Err(too_large().into());
        }
        if whole.len() + piece.len() > server.body_limit && place.is_none() {
            let busy = |_| Error::unavailable("busy", "Too many components are being uploaded; try again later");
            place = Some(Arc::clone(&app.uploads).try_acquire_owned().map_err(busy)?);
            whole.reserve(announced.unwrap_or_default());
        }
        whole.extend_from_slice(&piece);
    }
}

/// A body, with its place among the large ones.
struct Held {
    whole: Bytes,
    _place: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.whole
    }
}

impl<T: DeserializeOwned + Send + 'static> FromRequest<App> for Json<T> {
    type Rejection = Answer;
    async fn from_request(request: Request, app: &App) -> Result<Self, Answer> {
        if !is_json(request.headers()) {
            return Err(unsupported());
        }
        let (parts, sent) = request.into_parts();
        parsed(body(&parts, sent, app).await?).await.map(Self)
    }
}

impl<T: DeserializeOwned + Default + Send + 'static> FromRequest<App> for OptionalJson<T> {
    type Rejection = Answer;
    async fn from_request(request: Request, app: &App) -> Result<Self, Answer> {
        let (parts, sent) = request.into_parts();
        let sent = body(&parts, sent, app).await?;
        match sent.is_empty() {
            true => Ok(Self(T::default())),
            false if is_json(&parts.headers) => parsed(sent).await.map(Self),
            false => Err(unsupported()),
        }
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Path<T> {
    type Rejection = Answer;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Answer> {
        let path = axum::extract::Path::<Vec<(String, String)>>::from_request_parts(parts, app).await;
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

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Answer;
    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Answer> {
        query(&parts.uri).map(Self)
    }
}

pub fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Answer> {
    let query = serde_html_form::Deserializer::from_bytes(uri.query().unwrap_or_default().as_bytes());
    serde_path_to_error::deserialize(query).map_err(|error| {
        let parameter = error.path().iter().next().map_or_else(|| "query".to_owned(), ToString::to_string);
        wrong_query(&parameter, &in_plain_words(&error.inner().to_string())).into()
    })
}

pub fn wrong_query(parameter: &str, reason: &str) -> Error {
    wrong("invalid_query", format!("The query is wrong: `{parameter}`: {reason}"), parameter, reason)
}

fn wrong_path(name: &str, reason: &str) -> Error {
    wrong("invalid_path", format!("The address is wrong: `{name}`: {reason}"), name, reason)
}

/// Of a path whose names are no text.
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
    Error::Invalid(Problem::new(code, message), vec![Detail { field: field.to_owned(), reason: reason.to_owned() }])
}

impl FromRequestParts<App> for IfMatch {
    type Rejection = Answer;
    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Answer> {
        let lines = parts.headers.get_all(header::IF_MATCH);
        let mut tags = Vec::new();
        for line in lines {
            let line = line.to_str().map_err(|_| Error::invalid_field("If-Match", "it is not readable"))?;
            tags.extend(line.split(',').map(str::trim));
        }
        if tags.is_empty() || tags.contains(&"*") {
            return Ok(Self(Expected::Any));
        }
        // A weak tag never matches here (RFC 9110), and neither does what is no tag.
        let strong = |tag: &&str| tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).map(str::to_owned);
        Ok(Self(Expected::OneOf(tags.iter().filter_map(strong).collect())))
    }
}

pub fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json") || essence.to_ascii_lowercase().ends_with("+json")
}

async fn parsed<T: DeserializeOwned + Send + 'static>(body: Bytes) -> Result<T, Answer> {
    tasks::heavy(body.len(), move || parse(&body)).await?.map_err(Into::into)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let (depth, values) = json::shape(body);
    if depth > json::DEPTH {
        return Err(Error::invalid_field("body", format!("it nests at most {} levels deep", json::DEPTH)));
    }
    if values > json::VALUES {
        return Err(Error::invalid_field("body", format!("it holds at most {} values", json::VALUES)));
    }
    let _: IgnoredAny = serde_json::from_slice(body)
        .map_err(|error| Error::invalid("malformed_json", format!("The body is not JSON: {error}")))?;
    // A list would be taken for an object's fields.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Error::invalid_field("body", "it is a JSON object"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let field = error.path().to_string();
        let field = if field == "." { "body" } else { &field };
        Error::invalid_field(field, in_plain_words(&error.inner().to_string()))
    })
}

/// What the parser says, without the names of Rust's types.
fn in_plain_words(message: &str) -> String {
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

pub fn unsupported() -> Answer {
    let message = "The body has to be JSON: send `Content-Type: application/json`";
    Answer::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
}

fn too_slow() -> Answer {
    let message = "The body came too slowly, or stopped; send it again";
    Answer::new(StatusCode::REQUEST_TIMEOUT, "too_slow", message)
        .with(header::CONNECTION, HeaderValue::from_static("close"))
}

impl<T: Taken> OperationInput for Json<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        describe_body::<T>(ctx, operation, true);
    }
}

impl<T: Taken> OperationInput for OptionalJson<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        describe_body::<T>(ctx, operation, false);
    }
}

fn describe_body<T: Taken>(ctx: &mut GenContext, operation: &mut Operation, required: bool) {
    let content = [("application/json".to_owned(), json_content::<T>(ctx))].into_iter().collect();
    set_body(ctx, operation, RequestBody { content, required, ..RequestBody::default() });
}

/// A JSON body as the document describes it.
pub fn json_content<T: Taken>(ctx: &mut GenContext) -> MediaType {
    let schema = openapi::taken::<T>(ctx);
    let schema = SchemaObject { json_schema: schema, external_docs: None, example: None };
    MediaType { schema: Some(schema), example: Some(T::example()), ..MediaType::default() }
}

// What a path holds is known from its template.
impl<T> OperationInput for Path<T> {}

impl<T: JsonSchema> OperationInput for Query<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        describe_query::<T>(ctx, operation);
    }
}

pub fn describe_query<T: JsonSchema>(ctx: &mut GenContext, operation: &mut Operation) {
    let schema = openapi::inline::<T>();
    let parameters = parameters_from_schema(ctx, schema, ParamLocation::Query);
    add_parameters(ctx, operation, parameters);
}

impl OperationInput for IfMatch {
    fn operation_input(_: &mut GenContext, operation: &mut Operation) {
        operation.parameters.push(ReferenceOr::ref_("#/components/parameters/If-Match"));
    }
}
