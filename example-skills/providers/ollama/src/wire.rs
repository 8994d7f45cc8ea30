//! What is sent and what is streamed, as far as it is read.

use std::{borrow::Cow, collections::BTreeMap};

use moxxy_sdk::provider::or_absent;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

#[derive(Serialize)]
pub(crate) struct Body<'a> {
    pub model: &'a str,
    pub messages: Vec<Said<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool<'a>>,
    pub stream: bool,
    /// What does not fit is an error: nothing of a conversation is left out in silence.
    pub truncate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub think: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, Value>,
}

#[derive(Serialize)]
pub(crate) struct Said<'a> {
    pub role: &'static str,
    pub content: Cow<'a, str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<Call<'a>>,
    /// Of the tool whose result it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Call<'a> {
    pub function: Called<'a>,
}

#[derive(Serialize)]
pub(crate) struct Called<'a> {
    pub name: &'a str,
    pub arguments: Box<RawValue>,
}

#[derive(Serialize)]
pub(crate) struct Tool<'a> {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub function: Function<'a>,
}

#[derive(Serialize)]
pub(crate) struct Function<'a> {
    pub name: &'a str,
    pub description: &'a str,
    pub parameters: &'a RawValue,
}

/// A line of the stream. A field of an unexpected type counts as absent, unless the answer depends on it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Line {
    pub message: Option<Piece>,
    #[serde(deserialize_with = "or_absent")]
    pub done: Option<bool>,
    #[serde(deserialize_with = "or_absent")]
    pub done_reason: Option<String>,
    #[serde(deserialize_with = "or_absent")]
    pub prompt_eval_count: Option<u64>,
    #[serde(deserialize_with = "or_absent")]
    pub eval_count: Option<u64>,
    pub error: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Piece {
    #[serde(deserialize_with = "or_absent")]
    pub content: Option<String>,
    #[serde(deserialize_with = "or_absent")]
    pub thinking: Option<String>,
    #[serde(deserialize_with = "or_absent")]
    pub tool_calls: Option<Vec<Made>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Made {
    /// New servers have one.
    #[serde(deserialize_with = "or_absent")]
    pub id: Option<String>,
    #[serde(deserialize_with = "or_absent")]
    pub function: MadeOf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct MadeOf {
    pub name: String,
    pub arguments: Option<Value>,
}
