//! The OpenAPI 3.1 document, made from the router: what handlers take and give describes itself, and
//! what is common to all operations is added here.

use aide::{generate::GenContext, openapi::OpenApi};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, transform::transform_subschemas};
use serde_json::{Map, Value, json};

use crate::http::api::extract::Taken;

const DESCRIPTION: &str = "Agents, the skills and providers they are made of, their runs and what happens.\n\n\
    JSON in and out. Lists are bare arrays in pages: `limit`, and the `Link` to the next one. Errors have \
    one shape, or that of RFC 9457 if you accept `application/problem+json`; without a \
    body are only the answers to what is not HTTP (400), to an address (414) or a head (431) of more than 64 KiB, \
    and to more than 100 header fields (431). `X-Request-Id` and \
    `traceparent` are taken and given back. Programs of the server's own user on the same machine need \
    no token, unless the server is configured so.";

const REQUEST: &str = "req_019b7c5e-8f00-7000-8000-000000000000";

/// The settings of schemas: those of JSON Schema 2020-12, which OpenAPI 3.1 is made of.
fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = "/components/schemas".into())
}

/// Describes what is shown, from here on.
pub fn begin() {
    aide::generate::in_context(|ctx| ctx.schema = SchemaGenerator::new(settings().for_serialize()));
}

/// The schema of something that is taken, whole.
pub fn inline<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    SchemaGenerator::new(settings.for_deserialize()).into_root_schema_for::<T>()
}

/// The same, as a component of the document.
pub fn taken<T: Taken>(ctx: &mut GenContext) -> Schema {
    let mut schema = inline::<T>();
    transform_subschemas(&mut without_default, &mut schema);
    named(ctx, &T::schema_name(), schema)
}

/// A schema, as a component of the document.
pub fn named(ctx: &mut GenContext, name: &str, schema: Schema) -> Schema {
    ctx.schema.definitions_mut().insert(name.to_owned(), schema.to_value());
    Schema::new_ref(format!("#/components/schemas/{name}"))
}

/// Finishes the document.
pub fn document(api: &OpenApi) -> Value {
    let mut document = json!(api);
    for (path, item) in members(&mut document, "paths") {
        let path = path.clone();
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            if let Some(operation) = operation.as_object_mut() {
                complete(&path, method, operation);
            }
        }
    }
    plain(&mut document);
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
        components.insert("headers".into(), headers());
        components.insert("parameters".into(), parameters());
        components.insert("responses".into(), responses());
        let schemas = components.entry("schemas").or_insert_with(|| json!({}));
        if let Some(schemas) = schemas.as_object_mut() {
            schemas.insert("Error".into(), error_schema());
            schemas.insert("Problem".into(), problem_schema());
        }
    }
    document
}

/// What every operation of its kind has.
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
    // In its path, its query or its body.
    let names = path.contains('{')
        || parameters.iter().any(|parameter| parameter["name"] == "agent_id")
        || (["/v1/vault/grants", "/v1/chat/completions"].contains(&path) && has_body);
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
            responses.entry(status.to_string()).or_insert_with(|| reference("responses", name));
        }
    }
}

/// What stands in braces in a path.
fn parameter(segment: &str) -> Option<Value> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    let id = |prefix: &str| json!({ "type": "string", "pattern": format!("^{prefix}_[0-9a-f-]{{36}}$") });
    let (schema, text) = match name {
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

/// Each error status: its name, what it means, and an example's sentence and code.
const ERRORS: [(u16, &str, &str, &str, &str); 13] = [
    (304, "NotModified", "It is what the client has (`If-None-Match`).", "", ""),
    (400, "Invalid", "The input is invalid; `details` say where.", "invalid_input", "Invalid `limit`: it is 1 to 1000"),
    (
        401,
        "Unauthenticated",
        "There is no valid token, and this takes one.",
        "unauthenticated",
        "This takes a token: send `Authorization: Bearer mox_…`",
    ),
    (
        403,
        "Forbidden",
        "The token lacks the scope.",
        "insufficient_scope",
        "This takes a token with the scope `agents:write`, which this one lacks",
    ),
    (404, "NotFound", "There is no such thing.", "agent_not_found", "Agent 'unknown' not found"),
    (408, "TooSlow", "The body came too slowly.", "too_slow", "The body came too slowly, or stopped; send it again"),
    (409, "Conflict", "What there is does not allow it.", "agent_exists", "Agent 'ada' exists already"),
    (
        412,
        "Stale",
        "It has changed since it was read (`If-Match`).",
        "stale",
        "It has changed since you read it (`If-Match`); read it again, then decide",
    ),
    (413, "TooLarge", "The body is too large.", "body_too_large", "The body is larger than 1048576 bytes"),
    (
        415,
        "Unsupported",
        "The body has another type than this takes.",
        "unsupported_media_type",
        "The body has to be JSON: send `Content-Type: application/json`",
    ),
    (
        429,
        "TooMany",
        "It was asked too often; `Retry-After` says when to try again.",
        "too_many_requests",
        "Too many requests; try again in 1 s",
    ),
    (500, "Failed", "A component failed, or the server did.", "tool_failed", "There is no such file"),
    (
        503,
        "Unavailable",
        "The server cannot do it now; the same request may work later.",
        "busy",
        "Too many calls are waiting; try again",
    ),
];

fn responses() -> Value {
    let all = ERRORS.iter().map(|(status, name, text, code, sentence)| {
        let mut response = Map::from_iter([("description".to_owned(), json!(text))]);
        if !code.is_empty() {
            let example = json!({ "error": sentence, "code": code, "request_id": REQUEST });
            let schema = reference("schemas", "Error");
            let content = json!({ "schema": schema, "example": example });
            let mut problem = example;
            if let Some(fields) = problem.as_object_mut() {
                let title = axum::http::StatusCode::from_u16(*status).ok().and_then(|status| status.canonical_reason());
                fields.extend([
                    ("type".to_owned(), json!("about:blank")),
                    ("title".to_owned(), json!(title)),
                    ("status".to_owned(), json!(status)),
                    ("detail".to_owned(), json!(sentence)),
                ]);
            }
            let problem = json!({ "schema": reference("schemas", "Problem"), "example": problem });
            response
                .insert("content".into(), json!({ "application/json": content, "application/problem+json": problem }));
        }
        if matches!(status, 429 | 503) {
            response.insert("headers".into(), json!({ "Retry-After": reference("headers", "Retry-After") }));
        }
        ((*name).to_owned(), Value::Object(response))
    });
    Value::Object(all.collect())
}

fn error_schema() -> Value {
    let text = |text: &str| json!({ "type": "string", "description": text });
    json!({
        "type": "object",
        "description": "An error.",
        "required": ["error", "code", "request_id"],
        "properties": {
            "error": text("What is wrong, and what to do, for a person."),
            "code": text("What is wrong, for a program."),
            "request_id": text("Under which the server's log tells of it."),
            "details": {
                "type": "array",
                "description": "Of invalid input: which field, and why.",
                "items": {
                    "type": "object",
                    "required": ["field", "reason"],
                    "properties": {
                        "field": text("The field, parameter or header, as `limits.max_steps`."),
                        "reason": text("What it has to be."),
                    },
                },
            },
        },
    })
}

/// The same with the members of RFC 9457.
fn problem_schema() -> Value {
    let mut schema = error_schema();
    let standard = json!({
        "type": { "type": "string", "description": "Always `about:blank`: `code` says what is wrong." },
        "title": { "type": "string", "description": "The status, in words." },
        "status": { "type": "integer", "description": "The status, as a number." },
        "detail": { "type": "string", "description": "The same as `error`." },
    });
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    if let (Some(properties), Value::Object(standard)) = (properties, standard) {
        properties.extend(standard);
    }
    schema
}

fn headers() -> Value {
    let header = |text: &str, schema: Value| json!({ "description": text, "schema": schema });
    json!({
        "ETag": header("The version of what is shown.", json!({ "type": "string" })),
        "Idempotency-Replayed": header(
            "`true` if a request with the same `Idempotency-Key` was carried out before.",
            json!({ "type": "string" }),
        ),
        "Link": header("The next page, as `<…>; rel=\"next\"`, if there is one.", json!({ "type": "string" })),
        "Location": header("Where what was made is.", json!({ "type": "string" })),
        "Preference-Applied": header("The preference that was followed.", json!({ "type": "string" })),
        "X-Moxxy-Run-Id": header("The id of the run that answers.", json!({ "type": "string" })),
        "Retry-After": header("When to try again, in seconds.", json!({ "type": "integer", "minimum": 1 })),
    })
}

fn parameters() -> Value {
    let header = |name: &str, text: &str, schema: Value| json!({ "name": name, "in": "header", "required": false, "description": text, "schema": schema });
    let text = || json!({ "type": "string" });
    json!({
        "Idempotency-Key": header(
            "Idempotency-Key",
            "A text of your choice: a request that is sent again with it within 24 hours is not carried out again.",
            json!({ "type": "string", "minLength": 1, "maxLength": 255 }),
        ),
        "If-Match": header("If-Match", "The `ETag` of the version that is meant; 412 if there is another.", text()),
        "If-None-Match": header("If-None-Match", "The `ETag` of the version that you have; 304 if it is still this.", text()),
        "Last-Event-ID": header("Last-Event-ID", "The `id` of the last event that was received.", text()),
        "Prefer": header("Prefer", "`wait=30` waits for the end of the run, at most 300 seconds.", text()),
    })
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

fn members<'v>(value: &'v mut Value, field: &str) -> impl Iterator<Item = (&'v String, &'v mut Value)> {
    value.get_mut(field).and_then(Value::as_object_mut).into_iter().flatten()
}

/// What a client may leave out has no default that it would have to send.
fn without_default(schema: &mut Schema) {
    schema.remove("default");
    transform_subschemas(&mut without_default, schema);
}

/// Writes schemas so that generators of clients read them: `{}` for anything, one `enum` for many
/// constants, which the description then explains.
fn plain(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for key in ["properties", "patternProperties"] {
                let schemas = fields.get_mut(key).and_then(Value::as_object_mut);
                schemas.into_iter().flat_map(Map::values_mut).for_each(anything);
            }
            for key in ["items", "schema"] {
                fields.get_mut(key).into_iter().for_each(anything);
            }
            if fields.get("type") == Some(&json!("array")) {
                fields.entry("items").or_insert_with(|| json!({}));
            }
            let explained = fields.get("oneOf").and_then(Value::as_array).map(|all| explained(all)).unwrap_or_default();
            if let Some(constants) = fields.get("oneOf").and_then(constants) {
                let about = fields.get("description").and_then(Value::as_str).unwrap_or_default();
                let about = [about, &*explained].join("\n\n").trim().to_owned();
                fields.insert("description".into(), about.into());
                fields.remove("oneOf");
                fields.insert("type".into(), "string".into());
                fields.insert("enum".into(), constants.into());
            }
            if let Some(constant) = fields.remove("const") {
                fields.insert("enum".into(), json!([constant]));
            }
            fields.values_mut().for_each(plain);
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        _ => {}
    }
}

fn anything(schema: &mut Value) {
    if schema.as_bool() == Some(true) {
        *schema = json!({});
    }
}

/// What the constants mean that have a text of their own, as a list.
fn explained(branches: &[Value]) -> String {
    let explain = |branch: &Value| {
        Some(format!("- `{}`: {}", branch.get("const")?.as_str()?, branch.get("description")?.as_str()?))
    };
    branches.iter().filter_map(explain).collect::<Vec<_>>().join("\n")
}

/// All the texts that the branches allow, if they allow nothing else.
fn constants(branches: &Value) -> Option<Vec<Value>> {
    let mut all = Vec::new();
    for branch in branches.as_array()? {
        match (branch.get("const"), branch.get("enum")) {
            (Some(constant), _) => all.push(constant.clone()),
            (None, Some(Value::Array(constants))) => all.extend(constants.iter().cloned()),
            _ => return None,
        }
    }
    Some(all)
}
