//! The parts that operations share: errors, headers and parameters.

use moxxy_types::error::Problem;
use serde_json::{Map, Value, json};

use crate::http::api::openai_error;

const REQUEST: &str = "req_019b7c5e-8f00-7000-8000-000000000000";

/// Error statuses: status, name, meaning, and code and message of an example.
pub(super) const ERRORS: [(u16, &str, &str, &str, &str); 13] = [
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

/// Begin of the names of errors on the routes of OpenAI's API.
pub(super) const OPENAI: &str = "OpenAi";

pub(super) fn responses() -> Value {
    let all = ["", OPENAI].into_iter().flat_map(|prefix| ERRORS.iter().map(move |error| (prefix, error)));
    // Its routes have no versions.
    let all = all.filter(|(prefix, error)| *prefix != OPENAI || !matches!(error.0, 304 | 412));
    let all = all.map(|(prefix, (status, name, text, code, sentence))| {
        let mut response = Map::from_iter([("description".to_owned(), json!(text))]);
        if !code.is_empty() {
            let example = json!({ "error": sentence, "code": code, "request_id": REQUEST });
            let shown = match prefix {
                OPENAI => {
                    let status = axum::http::StatusCode::from_u16(*status).unwrap_or_default();
                    let error = openai_error::error(status, &Problem::new(*code, *sentence), &[]);
                    json!({ "error": error, "code": code, "request_id": REQUEST })
                }
                _ => example.clone(),
            };
            let schema = reference("schemas", &format!("{prefix}Error"));
            let content = json!({ "schema": schema, "example": shown });
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
        (format!("{prefix}{name}"), Value::Object(response))
    });
    Value::Object(all.collect())
}

pub(super) fn error_schema() -> Value {
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
                        "pointer": text("The field of the body, as a JSON Pointer: `/limits/max_steps`."),
                        "reason": text("What it has to be."),
                    },
                },
            },
        },
    })
}

/// Returns the error schema of the routes of OpenAI's API.
pub(super) fn openai_error_schema() -> Value {
    let text = |text: &str| json!({ "type": "string", "description": text });
    let mut schema = error_schema();
    if let Some(error) = schema.pointer_mut("/properties/error") {
        *error = json!({
            "type": "object",
            "description": "The error, as clients of OpenAI's API read it.",
            "required": ["message", "type", "code", "param"],
            "properties": {
                "message": text("What is wrong, and what to do, for a person."),
                "type": text("The kind of error, by the status."),
                "code": text("The same as `code` beside it."),
                "param": { "type": ["string", "null"], "description": "The first wrong field." },
            },
        });
    }
    schema
}

/// Returns the error schema with the members of RFC 9457.
pub(super) fn problem_schema() -> Value {
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

pub(super) fn headers() -> Value {
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

pub(super) fn parameters() -> Value {
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

pub(super) fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}
