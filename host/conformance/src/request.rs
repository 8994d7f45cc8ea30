//! Requests to the component in the WIT's terms, and the comparison of its HTTP requests with the profile.

use moxxy_runtime::models::{Image, Message, Part, Request, Role, Thinking, ToolCall, ToolDefinition, ToolResult};
use serde_json::Value;

use super::script::MODEL;
use crate::transcript::Held;

const KEY: &str = "key-1";

/// A single question.
pub fn plain() -> Request {
    Request {
        model: MODEL.to_owned(),
        system: None,
        messages: vec![said(Role::User, vec![Part::Text("Where is Zürich?".to_owned())])],
        tools: tools(),
        temperature: None,
        max_output_tokens: None,
        response_schema: None,
        idempotency_key: Some(KEY.to_owned()),
    }
}

/// A conversation that uses every feature.
pub fn rich() -> Request {
    let image = Image { media_type: "image/png".to_owned(), data: b"\x89PNG\r\n\x1a\n".to_vec() };
    let asked = "What is this? It was taken in Zürich 🏔".to_owned();
    Request {
        system: Some("Answer briefly.".to_owned()),
        messages: vec![
            said(Role::User, vec![Part::Text(asked), Part::Image(image)]),
            said(
                Role::Assistant,
                vec![
                    Part::Text("Let me see.".to_owned()),
                    called("call_1", "look_up", "{\"city\":\"Zürich\"}"),
                    called("call_2", "weather", "{}"),
                ],
            ),
            said(Role::Tool, vec![result("call_1", "A town.", false), result("call_2", "There is no weather.", true)]),
            said(Role::User, vec![Part::Text("And now?".to_owned())]),
        ],
        temperature: Some(0.5),
        max_output_tokens: Some(256),
        response_schema: Some(r#"{"type":"object","properties":{"town":{"type":"string"}}}"#.to_owned()),
        ..plain()
    }
}

/// A history as it occurs after an agent changed its provider: another provider's thought, and arguments that
/// are not JSON.
pub fn odd() -> Request {
    let thought = Thinking { text: Some("Hm.".to_owned()), opaque: b"\x00of another".to_vec() };
    let answer = vec![Part::Thinking(thought), called("a/1", "look_up", "{\"city\":"), called("a/2", "weather", "")];
    let results = vec![result("a/1", "That is no JSON.", true), result("a/2", "", false)];
    let first = said(Role::User, vec![Part::Text("Where is Zürich?".to_owned())]);
    Request { messages: vec![first, said(Role::Assistant, answer), said(Role::Tool, results)], ..plain() }
}

pub fn keyed(key: &str) -> Request {
    Request { idempotency_key: Some(key.to_owned()), ..rich() }
}

/// Idempotency key of [`rich`].
pub fn key() -> &'static str {
    KEY
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

fn said(role: Role, parts: Vec<Part>) -> Message {
    Message { role, parts }
}

fn called(id: &str, name: &str, arguments: &str) -> Part {
    let text = str::to_owned;
    Part::ToolCall(ToolCall { id: text(id), name: text(name), arguments: text(arguments) })
}

fn result(call_id: &str, content: &str, is_error: bool) -> Part {
    Part::ToolResult(ToolResult { call_id: call_id.to_owned(), content: content.to_owned(), is_error })
}

/// Checks that all expected fields are present. Objects may have more fields. Strings that contain JSON objects
/// are compared as JSON. `|` separates alternative names or strings.
pub fn has(expected: &Value, came: &Value, place: &str) -> Held {
    match (expected, came) {
        (Value::Object(fields), Value::Object(others)) => fields.iter().try_for_each(|(name, field)| {
            let place = format!("{place}/{name}");
            match name.split('|').find_map(|name| others.get(name)) {
                Some(other) => has(field, other, &place),
                None => Err(format!("{place}: expected {field:.80}, came nothing")),
            }
        }),
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
            let mut pairs = items.iter().zip(others).enumerate();
            pairs.try_for_each(|(index, (item, other))| has(item, other, &format!("{place}/{index}")))
        }
        (Value::String(text), Value::String(other)) if text.starts_with('{') && text != other => {
            let object = |text: &str| serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
            match (object(text), object(other)) {
                (Some(expected), Some(came)) if expected == came => Ok(()),
                _ => Err(format!("{place}: expected {text:?}, came {other:.200?}")),
            }
        }
        _ if expected == came => Ok(()),
        (Value::String(text), Value::String(other)) if text.split('|').any(|text| text == other) => Ok(()),
        _ => Err(format!("{place}: expected {}, came {}", short(expected), short(came))),
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    let cut: String = text.chars().take(120).collect();
    if cut.len() < text.len() { cut + "…" } else { cut }
}
