//! Fields of what the service streams. A field of an unexpected type counts as absent.

use serde_json::{Map, Value};

/// Returns the id of a call: a text, or a number.
pub(crate) fn id(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Number(number) => Some(number.to_string()),
        other => text(Some(other)),
    }
}

/// Returns a text, or the text in an object.
pub(crate) fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Object(fields) => ["text", "content", "summary"].into_iter().find_map(|field| text(fields.get(field))),
        _ => None,
    }
}

/// Returns why the model stopped: a text, or an object with it.
pub(crate) fn finish_reason(choice: &Value) -> Option<String> {
    let reason = choice.get("finish_reason").filter(|reason| !reason.is_null())?;
    let reason = match reason {
        Value::Object(fields) => text(fields.get("type").or(fields.get("reason"))),
        other => text(Some(other)),
    };
    reason.filter(|reason| !reason.is_empty())
}

/// Returns arguments of a tool call: text that is JSON, or the object itself.
pub(crate) fn arguments(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(object @ Value::Object(_)) => object.to_string(),
        _ => String::new(),
    }
}

/// Returns the pieces of a content, in their order: each text with whether it is a thought.
pub(crate) fn texts(content: Option<&Value>) -> Vec<(bool, String)> {
    match content {
        Some(Value::String(text)) => vec![(false, text.clone())],
        Some(Value::Array(items)) => items.iter().flat_map(texts_of_item).collect(),
        _ => Vec::new(),
    }
}

fn texts_of_item(item: &Value) -> Vec<(bool, String)> {
    let said = |item: &Value| item.get("text").and_then(Value::as_str).map(str::to_owned);
    match item.get("thinking") {
        Some(Value::Array(thoughts)) => thoughts.iter().filter_map(said).map(|text| (true, text)).collect(),
        Some(Value::String(thought)) => vec![(true, thought.clone())],
        _ => said(item).map(|text| (false, text)).into_iter().collect(),
    }
}

/// Returns the objects of a list; a single object counts as a list of it.
pub(crate) fn objects(value: Option<&Value>) -> Vec<&Map<String, Value>> {
    match value {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_object).collect(),
        Some(Value::Object(fields)) => vec![fields],
        _ => Vec::new(),
    }
}
