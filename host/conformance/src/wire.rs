//! Protocol profiles: template files that encode the script for a service. `wires/openai.toml` explains the
//! format. Three profiles are embedded; callers may supply others.

use std::collections::BTreeMap;

use http::{HeaderValue, StatusCode};
use moxxy_types::error::{Error, Result};
use serde::{Deserialize, de::Error as _};
use serde_json::{Map, Value, json};

use super::script::{Kind, Reason};

const EMBEDDED_PROFILES: [&str; 3] =
    [include_str!("wires/openai.toml"), include_str!("wires/anthropic.toml"), include_str!("wires/ollama.toml")];
/// Maximum size of a profile, in bytes.
const MAX_PROFILE_BYTES: usize = 64 * 1024;
/// Maximum length of a name, in bytes.
const MAX_NAME_BYTES: usize = 64;
/// Maximum number of events in a profile.
const MAX_EVENTS: usize = 64;
/// Name of a field that no service uses.
const UNKNOWN_FIELD: &str = "novelty";

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProtocolProfile {
    pub name: String,
    pub method: String,
    pub path: String,
    framing: Framing,
    pub media_type: String,
    event_name: Option<String>,
    end: Option<String>,
    /// Whether streams have an end besides the stop reason.
    #[serde(default)]
    pub terminated: bool,
    /// JSON Pointers to fields of the events on which the answer does not depend.
    #[serde(default)]
    pub loose: Vec<String>,
    pub idempotency: Option<String>,
    pub request: Template,
    #[serde(default)]
    pub begin: Vec<Template>,
    pub finish: Vec<Template>,
    #[serde(default)]
    pub unknown: Vec<Template>,
    pub error: Template,
    pub listed: Option<Template>,
    pub text: Block,
    #[serde(default)]
    pub thought: Block,
    #[serde(default)]
    pub call: Block,
    #[serde(default)]
    pub whole: Whole,
    pub stops: BTreeMap<Reason, String>,
    #[serde(default)]
    pub models: Vec<Answer>,
    #[serde(default)]
    pub refusals: Vec<Refusal>,
    #[serde(default)]
    pub failures: Vec<Failure>,
}

/// How events are separated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Framing {
    Events,
    Lines,
}

/// Events of a text, a thought or a tool call.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Block {
    pub open: Vec<Template>,
    pub piece: Vec<Template>,
    pub close: Vec<Template>,
    /// JSON Pointer to the list of tool calls within an event.
    pub list: Option<String>,
}

/// Complete answers in one JSON value, which some services send although a stream was requested.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Whole {
    pub text: Option<Template>,
    pub call: Option<Template>,
}

/// Answer to a request for the models.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    pub method: String,
    pub path: String,
    /// Text that the body of the request must contain.
    #[serde(default)]
    pub asked: String,
    pub body: Template,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    pub kind: Kind,
    #[serde(deserialize_with = "status")]
    pub status: u16,
    pub body: Template,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    pub kind: Kind,
    pub events: Vec<Template>,
}

/// JSON in which strings such as `"$text"` are placeholders.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Template(Value);

pub(crate) type Values = Map<String, Value>;

/// Variations of a stream that do not change its meaning.
#[derive(Debug, Clone, PartialEq)]
pub enum Style {
    Plain,
    /// Every object has an additional field.
    NewFields,
    /// Unknown events occur between the others.
    NewEvents,
    /// Non-ASCII characters are written as `\u` escapes.
    Escaped,
    /// Lines end with CRLF, with optional content between them.
    Loose,
    /// Events are preceded by a sign of life: a comment, or a blank line.
    KeepAlive,
    /// Fields on which the answer does not depend have this value, or are absent.
    Types(Option<Value>),
    /// Usage has this value, or is absent.
    Usage(Option<Value>),
    /// Events of the same kind for several tool calls are one event.
    MergedCalls,
}

impl ProtocolProfile {
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > MAX_PROFILE_BYTES {
            return Err(Error::invalid("invalid_wire", format!("The wire has more than {MAX_PROFILE_BYTES} bytes")));
        }
        let invalid = |why: &dyn std::fmt::Display| Error::invalid("invalid_wire", format!("The wire is wrong: {why}"));
        let profile: Self = toml::from_str(text).map_err(|error| invalid(&error))?;
        let name = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if !(1..=MAX_NAME_BYTES).contains(&profile.name.len()) || !profile.name.bytes().all(name) {
            return Err(invalid(&format!("its `name` has 1 to {MAX_NAME_BYTES} letters, digits, `-`, `_` and `.`")));
        }
        if HeaderValue::from_str(&profile.media_type).is_err() {
            return Err(invalid(&"its `media_type` is none"));
        }
        // A stream may contain every unknown event after every other event.
        let event_count =
            profile.block_templates().count() + profile.begin.len() + profile.finish.len() + profile.unknown.len();
        if event_count > MAX_EVENTS {
            return Err(invalid(&format!("it has {event_count} events; {MAX_EVENTS} are the most")));
        }
        Ok(profile)
    }

    fn block_templates(&self) -> impl Iterator<Item = &Template> {
        let blocks = [&self.text, &self.thought, &self.call];
        blocks.into_iter().flat_map(|block| block.open.iter().chain(&block.piece).chain(&block.close))
    }

    /// Returns the embedded profiles.
    pub fn embedded() -> Result<Vec<Self>> {
        EMBEDDED_PROFILES.into_iter().map(Self::parse).collect()
    }

    /// Returns an embedded profile by name, or parses the content of a file.
    pub fn load(text: &str) -> Result<Self> {
        if text.contains('\n') {
            return Self::parse(text);
        }
        let all = Self::embedded()?;
        let names = all.iter().map(|profile| profile.name.clone()).collect::<Vec<_>>().join(", ");
        let unknown = || Error::invalid("unknown_wire", format!("The suite has no wire {text:?}; it has: {names}"));
        all.into_iter().find(|profile| profile.name == text).ok_or_else(unknown)
    }

    /// Whether a request asks for a completion.
    pub fn is_completion_request(&self, method: &str, path: &str) -> bool {
        self.method == method && path.ends_with(&self.path)
    }

    /// Whether any template contains this placeholder.
    pub fn has_placeholder(&self, name: &str) -> bool {
        self.begin
            .iter()
            .chain(&self.finish)
            .chain(self.block_templates())
            .any(|template| contains_placeholder(&template.0, name))
    }

    /// Whether every stream ends with a marker.
    pub fn has_end(&self) -> bool {
        self.end.is_some()
    }

    pub fn has_lines(&self) -> bool {
        self.framing == Framing::Lines
    }

    /// Formats one event of a stream.
    pub fn event(&self, template: &Template, values: &Values, style: &Style) -> String {
        self.frame_value(&self.event_value(template, values, style), style)
    }

    /// Returns the JSON value of one event of a stream.
    pub fn event_value(&self, template: &Template, values: &Values, style: &Style) -> Value {
        let mut value = template.0.clone();
        match style {
            Style::NewFields => add_unknown_fields(&mut value),
            Style::Types(other) => self.loose.iter().for_each(|pointer| replace_loose(&mut value, pointer, other)),
            Style::Usage(other) => replace_usage(&mut value, other),
            _ => {}
        }
        fill_placeholders(&mut value, values);
        value
    }

    /// Formats the JSON value of one event.
    pub fn frame_value(&self, value: &Value, style: &Style) -> String {
        let name = self.event_name.as_ref().and_then(|field| value.get(field)?.as_str()).map(str::to_owned);
        let text = value.to_string();
        let text = if *style == Style::Escaped { escape_non_ascii(&text) } else { text };
        self.frame(name.as_deref(), &text, style)
    }

    /// Returns the marker that ends every stream.
    pub fn ending(&self, style: &Style) -> Option<String> {
        self.end.as_ref().map(|end| self.frame(None, end, style))
    }

    fn frame(&self, name: Option<&str>, data: &str, style: &Style) -> String {
        let name = name.map(|name| format!("event: {name}\n")).unwrap_or_default();
        match (self.framing, style) {
            (Framing::Lines, Style::Loose) => format!("{data}\r\n\r\n"),
            (Framing::Lines, Style::KeepAlive) => format!("\n{data}\n"),
            (Framing::Lines, _) => format!("{data}\n"),
            (Framing::Events, Style::KeepAlive) => format!(": ping\n\n:\n\n{name}data: {data}\n\n"),
            (Framing::Events, Style::Loose) => {
                format!(": a comment\r\nid: 7\r\nretry: 1000\r\n{}data:{data}\r\n\r\n", name.replace('\n', "\r\n"))
            }
            (Framing::Events, _) => format!("{name}data: {data}\n\n"),
        }
    }
}

impl Template {
    /// Returns the JSON text with its placeholders replaced.
    pub fn render(&self, values: &Values) -> String {
        self.value(values).to_string()
    }

    /// Whether it contains this placeholder.
    pub fn contains(&self, name: &str) -> bool {
        contains_placeholder(&self.0, name)
    }

    pub fn value(&self, values: &Values) -> Value {
        let mut value = self.0.clone();
        fill_placeholders(&mut value, values);
        value
    }
}

impl TryFrom<String> for Template {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        serde_json::from_str(&text).map(Self).map_err(|error| format!("a template is no JSON: {error}: {text:.80}"))
    }
}

/// Deserializes the HTTP status of an error.
fn status<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let status = u16::deserialize(deserializer)?;
    let valid = StatusCode::from_u16(status).is_ok();
    if valid { Ok(status) } else { Err(D::Error::custom(format!("{status} is no status"))) }
}

fn contains_placeholder(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => text.contains(name),
        Value::Array(items) => items.iter().any(|item| contains_placeholder(item, name)),
        Value::Object(fields) => fields.values().any(|field| contains_placeholder(field, name)),
        _ => false,
    }
}

/// Replaces strings that are placeholders by their values. `$message` is also replaced within strings.
fn fill_placeholders(value: &mut Value, values: &Values) {
    match value {
        Value::String(text) => {
            if let Some(replacement) = text.strip_prefix('$').and_then(|name| values.get(name)) {
                *value = replacement.clone();
            } else if let Some(message) = values.get("message").and_then(Value::as_str) {
                *text = text.replace("$message", message);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill_placeholders(item, values)),
        Value::Object(fields) => fields.values_mut().for_each(|field| fill_placeholders(field, values)),
        _ => {}
    }
}

/// Adds a field to every object that is not empty. An empty one may be the arguments of a tool call.
fn add_unknown_fields(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(add_unknown_fields),
        Value::Object(fields) if !fields.is_empty() => {
            fields.values_mut().for_each(add_unknown_fields);
            fields.insert(UNKNOWN_FIELD.to_owned(), json!({ "of": [1, null, "x"] }));
        }
        _ => {}
    }
}

/// Sets the field at a JSON Pointer to a value, or removes it, unless it contains a placeholder other than `$model`.
fn replace_loose(value: &mut Value, pointer: &str, other: &Option<Value>) {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    let Some(Value::Object(fields)) = value.pointer_mut(parent) else { return };
    let is_loose = |field: &Value| field == "$model" || !contains_placeholder(field, "$");
    if fields.get(name).is_none_or(is_loose) {
        set_or_remove(fields, name, other);
    }
}

/// Replaces fields whose only placeholders are numbers of tokens.
fn replace_usage(value: &mut Value, other: &Option<Value>) {
    let is_usage = |field: &Value| {
        let mut names = Vec::new();
        collect_placeholders(field, &mut names);
        !names.is_empty() && names.iter().all(|name| name.ends_with("_tokens"))
    };
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace_usage(item, other)),
        Value::Object(fields) => {
            for name in fields.keys().cloned().collect::<Vec<_>>() {
                match fields.get_mut(&name) {
                    Some(field) if is_usage(field) => set_or_remove(fields, &name, other),
                    Some(field) => replace_usage(field, other),
                    None => {}
                }
            }
        }
        _ => {}
    }
}

fn set_or_remove(fields: &mut Map<String, Value>, name: &str, value: &Option<Value>) {
    match value {
        Some(value) => drop(fields.insert(name.to_owned(), value.clone())),
        None => drop(fields.remove(name)),
    }
}

fn collect_placeholders<'v>(value: &'v Value, names: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => names.extend(text.strip_prefix('$')),
        Value::Array(items) => items.iter().for_each(|item| collect_placeholders(item, names)),
        Value::Object(fields) => fields.values().for_each(|field| collect_placeholders(field, names)),
        _ => {}
    }
}

fn escape_non_ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c.is_ascii() {
            true => text.push(c),
            false => text.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}"))),
        }
    }
    text
}
