//! What is sent and what is streamed, as far as it is read.

use std::borrow::Cow;

use moxxy_sdk::provider::or_absent;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

/// A message as it is sent.
#[derive(Serialize)]
pub(crate) struct Said<'a> {
    pub role: &'static str,
    pub content: Vec<Piece<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Piece<'a> {
    Block(Block<'a>),
    /// A block as it came.
    Thought(Map<String, Value>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Block<'a> {
    Text {
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Mark>,
    },
    Image {
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Mark>,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: Box<RawValue>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        content: &'a str,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Mark>,
    },
}

/// A picture.
#[derive(Serialize)]
pub(crate) struct Source<'a> {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub media_type: &'a str,
    pub data: String,
}

#[derive(Serialize)]
pub(crate) struct Tool<'a> {
    pub name: &'a str,
    pub description: &'a str,
    pub input_schema: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<Mark>,
}

/// Says that what ends here may be cached.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Mark {
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<&'static str>,
}

/// An event of the stream. A field of an unexpected type counts as absent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Event {
    #[serde(rename = "type", deserialize_with = "or_absent")]
    pub kind: String,
    #[serde(deserialize_with = "or_absent")]
    pub index: Option<u64>,
    #[serde(deserialize_with = "or_absent")]
    pub message: Option<Begun>,
    #[serde(deserialize_with = "or_absent")]
    pub content_block: Option<Map<String, Value>>,
    #[serde(deserialize_with = "or_absent")]
    pub delta: Option<Delta>,
    pub usage: Option<Value>,
    /// Of a whole message in place of a stream.
    #[serde(deserialize_with = "or_absent")]
    pub content: Vec<Map<String, Value>>,
    #[serde(deserialize_with = "or_absent")]
    pub stop_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Begun {
    pub usage: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Delta {
    #[serde(rename = "type", deserialize_with = "or_absent")]
    pub kind: Option<String>,
    #[serde(deserialize_with = "or_absent")]
    pub text: Option<String>,
    pub partial_json: Option<Value>,
    #[serde(deserialize_with = "or_absent")]
    pub thinking: Option<String>,
    #[serde(deserialize_with = "or_absent")]
    pub signature: Option<String>,
    #[serde(deserialize_with = "or_absent")]
    pub stop_reason: Option<String>,
}
