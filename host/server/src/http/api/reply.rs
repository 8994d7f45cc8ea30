//! What handlers answer with: each kind says its status and its headers, to clients and in the
//! OpenAPI document.

use aide::{
    OperationOutput,
    generate::GenContext,
    openapi::{Header, MediaType, Operation, ReferenceOr, Response as Described, SchemaObject, StatusCode as Status},
};
use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use moxxy_types::error::Error;
use schemars::{JsonSchema, json_schema};
use serde::Serialize;
use serde_json::Value;

use crate::{
    http::api::{answer::ApiError, idempotency::Secret},
    services::etag,
};

/// Something that clients are shown, with an example of it.
pub trait Shown: Serialize + JsonSchema {
    fn example() -> Value;
}

/// 200 with JSON.
#[derive(Debug)]
pub struct Body<T>(pub T);

/// 200 with one thing and its `ETag`.
#[derive(Debug)]
pub struct WithEtag<T>(pub T);

/// 200 with one page of a list, and a `Link` to the next.
#[derive(Debug)]
pub struct Paginated<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

/// 201 with what was made, and where it is.
#[derive(Debug)]
pub struct Created<T> {
    location: String,
    made: T,
    secret: bool,
    extra: HeaderMap,
}

/// 204.
#[derive(Debug)]
pub struct Deleted;

impl<T> Created<T> {
    pub fn new(location: String, made: T) -> Self {
        Self { location, made, secret: false, extra: HeaderMap::new() }
    }

    /// Of what shows a secret this once.
    pub fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    pub fn with(mut self, headers: HeaderMap) -> Self {
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

impl<T: Serialize> IntoResponse for WithEtag<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(json) => {
                let tag = format!("\"{}\"", etag::of(&json));
                ([(header::CONTENT_TYPE, JSON)], headers([(header::ETAG, tag)]), json).into_response()
            }
            Err(error) => ApiError::from(Error::internal(error)).into_response(),
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

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Made of checked names and digits, so they are always valid.
fn headers(pairs: impl IntoIterator<Item = (HeaderName, String)>) -> axum::http::HeaderMap {
    pairs.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?))).collect()
}

/// A response with JSON, for the OpenAPI document.
pub fn described(schema: schemars::Schema, example: Value, text: &str, headers: &[&str]) -> Described {
    typed("application/json", schema, example, text, headers)
}

/// A response of another type.
pub fn typed(media: &str, schema: schemars::Schema, example: Value, text: &str, headers: &[&str]) -> Described {
    let schema = SchemaObject { json_schema: schema, external_docs: None, example: None };
    let content = MediaType { schema: Some(schema), example: Some(example), ..MediaType::default() };
    Described { content: [(media.to_owned(), content)].into_iter().collect(), ..empty(text, headers) }
}

/// A response with plain text.
pub fn text(text: &str, example: &str) -> Described {
    typed("text/plain", json_schema!({ "type": "string" }), example.into(), text, &[])
}

/// A response without a body; its headers are components of the document.
pub fn empty(text: &str, headers: &[&str]) -> Described {
    let reference = |name: &&str| {
        let reference = format!("#/components/headers/{name}");
        ((*name).to_owned(), ReferenceOr::<Header>::Reference { reference, summary: None, description: None })
    };
    Described { description: text.to_owned(), headers: headers.iter().map(reference).collect(), ..Described::default() }
}

macro_rules! documented {
    ($kind:ident, $status:literal, $text:literal, $headers:expr) => {
        impl<T: Shown> OperationOutput for $kind<T> {
            type Inner = T;
            fn inferred_responses(ctx: &mut GenContext, _: &mut Operation) -> Vec<(Option<Status>, Described)> {
                let schema = ctx.schema.subschema_for::<T>();
                vec![(Some(Status::Code($status)), described(schema, T::example(), $text, &$headers))]
            }
        }
    };
}

documented!(Body, 200, "What was asked for.", [] as [&str; 0]);
documented!(WithEtag, 200, "What was asked for.", ["ETag"]);
documented!(Created, 201, "It was made.", ["Location"]);

impl<T: Shown> OperationOutput for Paginated<T> {
    type Inner = T;
    fn inferred_responses(ctx: &mut GenContext, _: &mut Operation) -> Vec<(Option<Status>, Described)> {
        let schema = ctx.schema.subschema_for::<Vec<T>>();
        vec![(
            Some(Status::Code(200)),
            described(schema, Value::Array(vec![T::example()]), "One page of the list.", &["Link"]),
        )]
    }
}

impl OperationOutput for Deleted {
    type Inner = ();
    fn inferred_responses(_: &mut GenContext, _: &mut Operation) -> Vec<(Option<Status>, Described)> {
        vec![(Some(Status::Code(204)), empty("It is gone.", &[]))]
    }
}

impl OperationOutput for ApiError {
    type Inner = ();
}
