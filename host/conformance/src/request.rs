//! Requests to the component in the WIT's terms, and the comparison of its HTTP requests with the profile.

use moxxy_runtime::models::{
    Image, Message, ModelOptions, Part, Request, Role, Thinking, ToolCall, ToolDefinition, ToolResult,
};
use serde_json::Value;

use super::script::MODEL;
use crate::transcript::Check;

const IDEMPOTENCY_KEY: &str = "key-1";
const SCHEMA: &str =
    r#"{"type":"object","properties":{"town":{"type":"string"}},"required":["town"],"additionalProperties":false}"#;

/// A single question.
pub(crate) fn plain() -> Request {
    Request {
        model: MODEL.to_owned(),
        system: None,
        messages: vec![message(Role::User, vec![Part::Text("Where is Zürich?".to_owned())])],
        tools: tools(),
        options: ModelOptions::default(),
        max_output_tokens: None,
        response_schema: None,
        idempotency_key: Some(IDEMPOTENCY_KEY.to_owned()),
        adaptations: Vec::new(),
    }
}

/// A conversation that uses every feature.
pub(crate) fn full_featured() -> Request {
    let image = Image { media_type: "image/png".to_owned(), data: b"\x89PNG\r\n\x1a\n".to_vec() };
    let asked = "What is this? It was taken in Zürich 🏔".to_owned();
    Request {
        system: Some("Answer briefly.".to_owned()),
        messages: vec![
            message(Role::User, vec![Part::Text(asked), Part::Image(image)]),
            message(
                Role::Assistant,
                vec![
                    Part::Text("Let me see.".to_owned()),
                    tool_call("call_1", "look_up", "{\"city\":\"Zürich\"}"),
                    tool_call("call_2", "weather", "{}"),
                ],
            ),
            message(
                Role::Tool,
                vec![tool_result("call_1", "A town.", false), tool_result("call_2", "There is no weather.", true)],
            ),
            message(Role::User, vec![Part::Text("And now?".to_owned())]),
        ],
        options: ModelOptions { temperature: Some(0.5), ..ModelOptions::default() },
        max_output_tokens: Some(256),
        response_schema: Some(SCHEMA.to_owned()),
        ..plain()
    }
}

/// A history as it occurs after an agent changed its provider: another provider's thought, and arguments that
/// are not JSON.
pub(crate) fn foreign_history() -> Request {
    let thought = Thinking { text: Some("Hm.".to_owned()), opaque: b"\x00of another".to_vec() };
    let answer =
        vec![Part::Thinking(thought), tool_call("a/1", "look_up", "{\"city\":"), tool_call("a/2", "weather", "")];
    let results = vec![tool_result("a/1", "That is no JSON.", true), tool_result("a/2", "", false)];
    let first = message(Role::User, vec![Part::Text("Where is Zürich?".to_owned())]);
    Request { messages: vec![first, message(Role::Assistant, answer), message(Role::Tool, results)], ..plain() }
}

pub(crate) fn with_idempotency_key(key: &str) -> Request {
    Request { idempotency_key: Some(key.to_owned()), ..full_featured() }
}

/// Idempotency key of [`full_featured`].
pub(crate) fn key() -> &'static str {
    IDEMPOTENCY_KEY
}

fn tools() -> Vec<ToolDefinition> {
    let tool = |name: &str, description: &str, parameters: &str| ToolDefinition {
        name: name.to_owned(),
        description: description.to_owned(),
        parameters: parameters.to_owned(),
    };
    let city = r#"{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}"#;
    vec![tool("look_up", "Looks a town up.", city), tool("weather", "Tells the weather.", r#"{"type":"object"}"#)]
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message { role, parts, opaque: Vec::new() }
}

fn tool_call(id: &str, name: &str, arguments: &str) -> Part {
    let text = str::to_owned;
    Part::ToolCall(ToolCall { id: text(id), name: text(name), arguments: text(arguments), opaque: Vec::new() })
}

fn tool_result(call_id: &str, content: &str, is_error: bool) -> Part {
    Part::ToolResult(ToolResult { call_id: call_id.to_owned(), content: content.to_owned(), is_error })
}

/// Checks that all expected fields are present. Objects may have more fields. Strings that contain JSON objects
/// are compared as JSON. `|` separates alternative names or strings.
pub(crate) fn check_contains(expected: &Value, actual: &Value, place: &str) -> Check {
    match (expected, actual) {
        (Value::Object(fields), Value::Object(others)) => fields.iter().try_for_each(|(name, field)| {
            let place = format!("{place}/{name}");
            match name.split('|').find_map(|name| others.get(name)) {
                Some(other) => check_contains(field, other, &place),
                None => Err(format!("{place}: expected {field:.80}, came nothing")),
            }
        }),
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
            let mut pairs = items.iter().zip(others).enumerate();
            pairs.try_for_each(|(index, (item, other))| check_contains(item, other, &format!("{place}/{index}")))
        }
        (Value::String(text), Value::String(other)) if text.starts_with('{') && text != other => {
            let object = |text: &str| serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
            match (object(text), object(other)) {
                (Some(expected), Some(actual)) if expected == actual => Ok(()),
                _ => Err(format!("{place}: expected {text:?}, came {other:.200?}")),
            }
        }
        _ if expected == actual => Ok(()),
        (Value::String(text), Value::String(other)) if text.split('|').any(|text| text == other) => Ok(()),
        _ => Err(format!("{place}: expected {}, came {}", truncated_json(expected), truncated_json(actual))),
    }
}

fn truncated_json(value: &Value) -> String {
    let text = value.to_string();
    let cut: String = text.chars().take(120).collect();
    if cut.len() < text.len() { cut + "…" } else { cut }
}
