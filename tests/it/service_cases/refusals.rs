//! Services that refuse a request, or fail.

use super::*;

pub(super) const CASES: &[Case] = &[
    // Services that are strict.
    (
        "content may not be null",
        |asked| {
            let strict = |message: &Value| !message["content"].is_string() && !message["content"].is_array();
            match asked.messages().iter().any(strict) {
                true => refuse("Invalid 'content': 'content' field must be a string or an array of objects."),
                false => call_and_done(asked, good_call("c1")),
            }
        },
        Output("done"),
    ),
    (
        "ids have nine characters",
        |asked| {
            let is_wrong = |call: &&Value| call["id"].as_str().unwrap().len() != 9;
            match asked.calls().iter().any(is_wrong) {
                true => refuse("Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9."),
                false => call_and_done(asked, good_call("call_long_id_1")),
            }
        },
        Output("done"),
    ),
    (
        "a list of types is refused",
        |asked| {
            fn has_list(value: &Value) -> bool {
                match value {
                    Value::Object(fields) => {
                        fields.get("type").is_some_and(Value::is_array) || fields.values().any(has_list)
                    }
                    Value::Array(items) => items.iter().any(has_list),
                    _ => false,
                }
            }
            if has_list(&asked.body["tools"]) {
                refuse("Unknown name \"type\": Proto field is not repeating, cannot start list.")
            } else {
                says("fine")
            }
        },
        Output("fine"),
    ),
    (
        "the model has no tools",
        |asked| {
            if asked.has("tools") {
                refuse("\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set")
            } else {
                says("fine")
            }
        },
        Output("fine"),
    ),
    (
        "the model does not support tools",
        |asked| {
            if asked.has("tools") { refuse("registry/llama2:latest does not support tools") } else { says("fine") }
        },
        Output("fine"),
    ),
    (
        "no endpoint supports tools",
        |asked| {
            if asked.has("tools") {
                status(404, json!({ "error": { "message": "No endpoints found that support tool use.", "code": 404 } }))
            } else {
                says("fine")
            }
        },
        Output("fine"),
    ),
    (
        "stream_options are refused",
        |asked| {
            if asked.has("stream_options") {
                status(
                    422,
                    json!({ "detail": [{ "loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted" }] }),
                )
            } else {
                says("fine")
            }
        },
        Output("fine"),
    ),
    (
        "max_tokens is refused",
        |asked| {
            if asked.has("max_tokens") {
                refuse(
                    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                )
            } else {
                says("fine")
            }
        },
        Output("fine"),
    ),
    (
        "temperature is refused",
        |asked| {
            if asked.has("temperature") {
                refuse(
                    "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) value is supported.",
                )
            } else {
                says("fine")
            }
        },
        Output("fine"),
    ),
    (
        "a system message is refused",
        |asked| {
            if asked.messages()[0]["role"] == "system" {
                refuse("Unsupported value: 'messages[0].role' does not support 'system' with this model.")
            } else {
                says("fine")
            }
        },
        Output("fine"),
    ),
    (
        "three fields are refused, one after another",
        |asked| match ["stream_options", "temperature", "tools"].into_iter().find(|field| asked.has(field)) {
            Some("tools") => refuse("This model does not support tools."),
            Some(field) => refuse(&format!("Unknown parameter: '{field}'.")),
            None => says("fine"),
        },
        Output("fine"),
    ),
    // Limits that nobody told.
    (
        "a window of 8192 tokens",
        |asked| {
            let most = asked.body["max_tokens"].as_u64().unwrap();
            match most + 9 > 8192 {
                true => status(
                    400,
                    json!({ "error": { "code": "context_length_exceeded", "message": format!("This model's maximum context length is 8192 tokens. However, you requested {} tokens.", most + 9) } }),
                ),
                false => says("fine"),
            }
        },
        Output("fine"),
    ),
    (
        "a window in `n_ctx`",
        |asked| match asked.body["max_tokens"].as_u64().unwrap() > 1024 {
            true => status(
                400,
                json!({ "error": { "code": 400, "type": "exceed_context_size_error", "message": "the request exceeds the available context size", "n_ctx": 4096 } }),
            ),
            false => says("fine"),
        },
        Output("fine"),
    ),
    (
        "an output limit of 4096 tokens",
        |asked| match asked.body["max_tokens"].as_u64().unwrap() > 4096 {
            true => refuse(
                "max_tokens is too large: 8192. This model supports at most 4096 completion tokens, whereas you provided 8192.",
            ),
            false => says("fine"),
        },
        Output("fine"),
    ),
    (
        "an output limit in other words",
        |asked| match asked.body["max_tokens"].as_u64().unwrap() > 1000 {
            true => refuse(
                "`max_tokens` must be less than or equal to `1000`, the maximum value for `max_tokens` is less than the `context_window` for this model",
            ),
            false => says("fine"),
        },
        Output("fine"),
    ),
    // Trouble that passes.
    (
        "a model is loading",
        |asked| {
            if asked.before == 0 {
                status(
                    503,
                    json!({ "error": { "message": "Loading model", "type": "unavailable_error", "code": 503 } }),
                )
            } else {
                says("fine")
            }
        },
        Output("fine"),
    ),
    (
        "a stream breaks off before its text",
        |asked| {
            if asked.before == 0 {
                events(line(&piece(json!({ "role": "assistant" }), Value::Null)))
            } else {
                says("fine")
            }
        },
        Output("fine"),
    ),
    (
        "a stream breaks off in its text",
        |asked| {
            if asked.before == 0 { events(line(&piece(json!({ "content": "fi" }), Value::Null))) } else { says("fine") }
        },
        Output("fine"),
    ),
    (
        "an error in a stream passes",
        |asked| {
            if asked.before == 0 {
                values(&[json!({ "error": { "message": "overloaded", "code": 529 } })])
            } else {
                says("fine")
            }
        },
        Output("fine"),
    ),
    // Reasons.
    (
        "an error object in a stream",
        |_| values(&[json!({ "object": "error", "message": "no such thing", "code": 400 })]),
        Failure("provider_rejected_request", "no such thing"),
    ),
    (
        "a list of details",
        |_| status(422, json!({ "detail": [{ "loc": ["body", "messages", 0], "msg": "Field required" }] })),
        Failure("provider_rejected_request", "body.messages.0: Field required"),
    ),
    (
        "details in a message",
        |_| status(422, json!({ "message": { "detail": [{ "loc": ["body", "model"], "msg": "no" }] } })),
        Failure("provider_rejected_request", "body.model: no"),
    ),
    (
        "what a service behind a router said",
        |_| {
            status(
                400,
                json!({ "error": { "message": "Provider returned error", "metadata": { "raw": "{\"message\":\"Unexpected role 'tool'\"}", "provider_name": "Mistral" } } }),
            )
        },
        Failure("provider_rejected_request", "Mistral: Unexpected role 'tool'"),
    ),
    (
        "problem+json",
        |_| status(400, json!({ "type": "about:blank", "title": "Bad Request", "detail": "the field x is odd" })),
        Failure("provider_rejected_request", "the field x is odd"),
    ),
    (
        "an unknown shape",
        |_| status(400, json!({ "reasons": ["it is odd"] })),
        Failure("provider_rejected_request", "it is odd"),
    ),
    (
        "a page of HTML",
        |_| (StatusCode::BAD_REQUEST, "<html><head><title>Blocked by policy</title></head></html>").into_response(),
        Failure("provider_rejected_request", "Blocked by policy"),
    ),
    (
        "a plain text",
        |_| (StatusCode::NOT_FOUND, "404 page not found").into_response(),
        Failure("provider_rejected_request", "usually like https://api.openai.com/v1"),
    ),
    (
        "a wrong key",
        |_| status(401, json!({ "error": { "message": "Incorrect API key provided" } })),
        Failure("provider_authentication", "moxxy secret rotate"),
    ),
];
