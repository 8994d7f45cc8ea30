//! OpenAPI 3.1 document, generated from the router. Request and response types of handlers describe themselves; this
//! module adds what all operations share.

mod components;
mod examples;
mod inputs;
mod outputs;
mod routes;
mod schemas;

use aide::{axum::ApiRouter, openapi::OpenApi, redoc::Redoc};
use axum::{
    Router,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::http::api::openai_error;
use crate::http::state::HttpState;
use components::{ERRORS, reference};

pub(super) use routes::{claiming_post, delete, get, patch, post, put};

/// Router that collects the descriptions of its routes.
pub(super) type Routes = ApiRouter<HttpState>;

const DESCRIPTION: &str = "Agents, the skills and providers they are made of, their runs and what happens.\n\n\
    JSON in and out. Lists are bare arrays in pages: `limit`, and the `Link` to the next one. Errors have \
    one shape, or that of RFC 9457 if you accept `application/problem+json`; without a \
    body are only the answers to what is not HTTP (400), to an address (414) or a head (431) of more than 64 KiB, \
    and to more than 100 header fields (431). `X-Request-Id` and \
    `traceparent` are taken and given back. Programs of the server's own user on the same machine need \
    no token, unless the server is configured so.";

/// Serialized document.
#[derive(Debug, Clone)]
pub(super) struct Document(pub Bytes);

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], self.0).into_response()
    }
}

/// Builds a router for each group of routes, and one document of all groups in this order.
pub(super) fn describe<const N: usize>(groups: [fn() -> Routes; N]) -> ([Router<HttpState>; N], Value) {
    let mut api = OpenApi::default();
    let routers = groups.map(|routes| {
        schemas::begin();
        routes().finish_api(&mut api)
    });
    (routers, document(&api))
}

/// Returns an HTML page that shows the document at `url`, with its only script inline.
pub(super) fn page(url: &str) -> String {
    Redoc::new(url).with_title("Moxxy").html()
}

fn document(api: &OpenApi) -> Value {
    let mut document = json!(api);
    for (path, item) in members(&mut document, "paths") {
        let path = path.clone();
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            if let Some(operation) = operation.as_object_mut() {
                complete(&path, method, operation);
            }
        }
    }
    schemas::simplify(&mut document);
    let Some(fields) = document.as_object_mut() else { return document };
    fields.insert("openapi".into(), "3.1.0".into());
    fields.insert(
        "info".into(),
        json!({
            "title": "Moxxy",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        }),
    );
    fields.insert("servers".into(), json!([{ "url": "/" }]));
    let components = fields.entry("components").or_insert_with(|| json!({}));
    if let Some(components) = components.as_object_mut() {
        components.insert("securitySchemes".into(), json!({
            "token": { "type": "http", "scheme": "bearer", "description": "A token, `mox_…`, with the scope that is named." },
        }));
        components.insert("headers".into(), components::headers());
        components.insert("parameters".into(), components::parameters());
        components.insert("responses".into(), components::responses());
        let schemas = components.entry("schemas").or_insert_with(|| json!({}));
        if let Some(schemas) = schemas.as_object_mut() {
            schemas.insert("Error".into(), components::error_schema());
            schemas.insert("Problem".into(), components::problem_schema());
            schemas.insert(format!("{}Error", components::OPENAI), components::openai_error_schema());
        }
    }
    document
}

/// Adds the parameters, headers and errors that every operation of its kind has.
fn complete(path: &str, method: &str, operation: &mut Map<String, Value>) {
    let mut parameters: Vec<_> = path.split('/').filter_map(parameter).collect();
    parameters.extend(operation.remove("parameters").and_then(|given| given.as_array().cloned()).into_iter().flatten());
    let (reads, has_body) = (method == "get", operation.contains_key("requestBody"));
    let tagged = operation.get("responses").is_some_and(|all| all.pointer("/200/headers/ETag").is_some());
    let scoped = operation.contains_key("security");
    let mut errors = vec![400, 500, 503];
    if reads && tagged {
        parameters.push(reference("parameters", "If-None-Match"));
        errors.push(304);
    }
    if method == "post" {
        parameters.push(reference("parameters", "Idempotency-Key"));
    }
    let has = |name: &str| parameters.contains(&reference("parameters", name));
    // Whether the path, query or body names a resource, which may not exist.
    let names = path.contains('{')
        || parameters.iter().any(|parameter| parameter["name"] == "agent_id")
        || (["/v1/components", "/v1/providers", "/v1/vault/grants", "/v1/chat/completions", "/v1/responses"]
            .contains(&path)
            && has_body);
    let (conditional, waits) = (has("If-Match"), has("Prefer"));
    let rules = [
        (scoped, [401, 403].as_slice()),
        (names, &[404]),
        (has_body, &[408, 413, 415]),
        (!reads, &[409]),
        (conditional, &[412]),
        (!crate::http::is_free(path), &[429]),
    ];
    errors.extend(rules.iter().filter(|(holds, _)| *holds).flat_map(|(_, statuses)| statuses.iter().copied()));
    if !parameters.is_empty() {
        operation.insert("parameters".into(), Value::Array(parameters));
    }
    operation.entry("security").or_insert_with(|| json!([]));
    let responses = operation.entry("responses").or_insert_with(|| json!({}));
    let shown = [(waits, "Preference-Applied"), (method == "post", "Idempotency-Replayed")];
    for success in ["200", "201"] {
        let Some(response) = responses.get_mut(success).and_then(Value::as_object_mut) else { continue };
        for (_, name) in shown.iter().filter(|(holds, _)| *holds) {
            response.entry("headers").or_insert_with(|| json!({}))[*name] = reference("headers", name);
        }
    }
    for (status, name, ..) in ERRORS.iter().filter(|(status, ..)| errors.contains(status)) {
        if let Some(responses) = responses.as_object_mut() {
            let prefix = if openai_error::applies_to(path) { components::OPENAI } else { "" };
            let name = format!("{prefix}{name}");
            responses.entry(status.to_string()).or_insert_with(|| reference("responses", &name));
        }
    }
}

/// Returns the parameter of a path segment in braces.
fn parameter(segment: &str) -> Option<Value> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    let id = |prefix: &str| json!({ "type": "string", "pattern": format!("^{prefix}_[0-9a-f-]{{36}}$") });
    let (schema, text) = match name {
        "response_id" => (id("resp"), "The response's id."),
        "run_id" => (id("run"), "The run's id."),
        "token_id" => (id("tok"), "The token's id."),
        "secret_id" => (id("sec"), "The secret's id."),
        "grant_id" => (id("grt"), "The grant's id."),
        "skill_id" => (json!({ "type": "string", "pattern": "^[a-z0-9-]{1,64}$" }), "The skill's name."),
        "provider_id" => (json!({ "type": "string", "pattern": "^[a-z0-9-]{1,64}$" }), "The provider's name."),
        _ => (json!({ "type": "string", "pattern": "^[a-z0-9-]{1,64}$" }), "The agent's name."),
    };
    Some(json!({ "name": name, "in": "path", "required": true, "description": text, "schema": schema }))
}

fn members<'v>(value: &'v mut Value, field: &str) -> impl Iterator<Item = (&'v String, &'v mut Value)> {
    value.get_mut(field).and_then(Value::as_object_mut).into_iter().flatten()
}
