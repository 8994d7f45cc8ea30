//! What the service streams, as far as it is read. Whatever may be absent may be null as well.

use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Piece {
    pub choices: Option<Vec<Choice>>,
    pub usage: Option<Value>,
    pub x_groq: Option<Value>,
    pub error: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Choice {
    pub index: Option<u64>,
    pub delta: Option<Delta>,
    pub finish_reason: Option<String>,
    pub usage: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Delta {
    /// A text, or Mistral's list of texts and thoughts.
    pub content: Option<Value>,
    pub refusal: Option<String>,
    pub reasoning_content: Option<String>,
    pub reasoning: Option<String>,
    pub reasoning_details: Option<Vec<Map<String, Value>>>,
    pub tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CallDelta {
    pub index: Option<u64>,
    pub id: Option<String>,
    pub function: Option<Function>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Function {
    pub name: Option<String>,
    pub arguments: Option<Arguments>,
}

/// Text that is JSON; some services send the object itself.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Arguments {
    Text(String),
    Object(Map<String, Value>),
}

impl Arguments {
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Object(object) => Value::Object(object).to_string(),
        }
    }
}

impl Delta {
    /// The pieces of a content, in their order: each text with whether it is a thought.
    pub(crate) fn texts(content: Value) -> Vec<(bool, String)> {
        match content {
            Value::String(text) => vec![(false, text)],
            Value::Array(items) => items.into_iter().flat_map(texts_of_item).collect(),
            _ => Vec::new(),
        }
    }
}

fn texts_of_item(item: Value) -> Vec<(bool, String)> {
    let text = |item: &Value| item.get("text").and_then(Value::as_str).map(str::to_owned);
    match item.get("thinking") {
        Some(Value::Array(thoughts)) => thoughts.iter().filter_map(text).map(|text| (true, text)).collect(),
        Some(Value::String(thought)) => vec![(true, thought.clone())],
        _ => text(&item).map(|text| (false, text)).into_iter().collect(),
    }
}
