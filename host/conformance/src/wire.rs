//! Protocol profiles: template files that encode the script for a service. `wires/openai.toml` explains the
//! format. Three profiles are embedded; callers may supply others.

use std::collections::BTreeMap;

use http::{HeaderValue, StatusCode};
use moxxy_types::error::{Error, Result};
use serde::{Deserialize, de::Error as _};
use serde_json::{Map, Value, json};

use super::script::{Kind, Reason};

const EMBEDDED: [&str; 3] =
    [include_str!("wires/openai.toml"), include_str!("wires/anthropic.toml"), include_str!("wires/ollama.toml")];
/// Maximum size of a profile, in bytes.
const LONGEST: usize = 64 * 1024;
/// Maximum length of a name, in bytes.
const NAME: usize = 64;
/// Maximum number of events in a profile.
const EVENTS: usize = 64;
/// Name of a field that no service uses.
const NOVELTY: &str = "novelty";

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

pub type Values = Map<String, Value>;

/// Variations of a stream that do not change its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

impl ProtocolProfile {
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > LONGEST {
            return Err(Error::invalid("invalid_wire", format!("The wire has more than {LONGEST} bytes")));
        }
        let wrong = |why: &dyn std::fmt::Display| Error::invalid("invalid_wire", format!("The wire is wrong: {why}"));
        let wire: Self = toml::from_str(text).map_err(|error| wrong(&error))?;
        let name = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if !(1..=NAME).contains(&wire.name.len()) || !wire.name.bytes().all(name) {
            return Err(wrong(&format!("its `name` has 1 to {NAME} letters, digits, `-`, `_` and `.`")));
        }
        if HeaderValue::from_str(&wire.media_type).is_err() {
            return Err(wrong(&"its `media_type` is none"));
        }
        // A stream may contain every unknown event after every other event.
        let pieces = wire.pieces().count() + wire.begin.len() + wire.finish.len() + wire.unknown.len();
        if pieces > EVENTS {
            return Err(wrong(&format!("it has {pieces} events; {EVENTS} are the most")));
        }
        Ok(wire)
    }

    fn pieces(&self) -> impl Iterator<Item = &Template> {
        let blocks = [&self.text, &self.thought, &self.call];
        blocks.into_iter().flat_map(|block| block.open.iter().chain(&block.piece).chain(&block.close))
    }

    /// Returns the embedded profiles.
    pub fn embedded() -> Result<Vec<Self>> {
        EMBEDDED.into_iter().map(Self::parse).collect()
    }

    /// Returns an embedded profile by name, or parses the content of a file.
    pub fn named(text: &str) -> Result<Self> {
        if text.contains('\n') {
            return Self::parse(text);
        }
        let all = Self::embedded()?;
        let names = all.iter().map(|wire| wire.name.clone()).collect::<Vec<_>>().join(", ");
        let unknown = || Error::invalid("unknown_wire", format!("The suite has no wire {text:?}; it has: {names}"));
        all.into_iter().find(|wire| wire.name == text).ok_or_else(unknown)
    }

    /// Whether a request asks for a completion.
    pub fn is_asked(&self, method: &str, path: &str) -> bool {
        self.method == method && path.ends_with(&self.path)
    }

    /// Whether any template contains this placeholder.
    pub fn says(&self, name: &str) -> bool {
        self.begin.iter().chain(&self.finish).chain(self.pieces()).any(|template| holds(&template.0, name))
    }

    pub fn has_lines(&self) -> bool {
        self.framing == Framing::Lines
    }

    /// Formats one event of a stream.
    pub fn event(&self, template: &Template, values: &Values, style: Style) -> String {
        let mut value = template.0.clone();
        if style == Style::NewFields {
            extend(&mut value);
        }
        fill(&mut value, values);
        let name = self.event_name.as_ref().and_then(|field| value.get(field)?.as_str()).map(str::to_owned);
        let text = value.to_string();
        let text = if style == Style::Escaped { escaped(&text) } else { text };
        self.framed(name.as_deref(), &text, style)
    }

    /// Returns the marker that ends every stream.
    pub fn ending(&self, style: Style) -> Option<String> {
        self.end.as_ref().map(|end| self.framed(None, end, style))
    }

    fn framed(&self, name: Option<&str>, data: &str, style: Style) -> String {
        let name = name.map(|name| format!("event: {name}\n")).unwrap_or_default();
        match (self.framing, style) {
            (Framing::Lines, Style::Loose) => format!("{data}\r\n\r\n"),
            (Framing::Lines, _) => format!("{data}\n"),
            (Framing::Events, Style::Loose) => {
                format!(": a comment\r\nid: 7\r\nretry: 1000\r\n{}data:{data}\r\n\r\n", name.replace('\n', "\r\n"))
            }
            (Framing::Events, _) => format!("{name}data: {data}\n\n"),
        }
    }
}

impl Template {
    /// Returns the JSON text with its placeholders replaced.
    pub fn filled(&self, values: &Values) -> String {
        self.value(values).to_string()
    }

    pub fn value(&self, values: &Values) -> Value {
        let mut value = self.0.clone();
        fill(&mut value, values);
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

fn holds(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => text.contains(name),
        Value::Array(items) => items.iter().any(|item| holds(item, name)),
        Value::Object(fields) => fields.values().any(|field| holds(field, name)),
        _ => false,
    }
}

/// Replaces strings that are placeholders by their values. `$message` is also replaced within strings.
fn fill(value: &mut Value, values: &Values) {
    match value {
        Value::String(text) => {
            if let Some(known) = text.strip_prefix('$').and_then(|name| values.get(name)) {
                *value = known.clone();
            } else if let Some(message) = values.get("message").and_then(Value::as_str) {
                *text = text.replace("$message", message);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, values)),
        Value::Object(fields) => fields.values_mut().for_each(|field| fill(field, values)),
        _ => {}
    }
}

/// Adds a field to every object that is not empty. An empty one may be the arguments of a tool call.
fn extend(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(extend),
        Value::Object(fields) if !fields.is_empty() => {
            fields.values_mut().for_each(extend);
            fields.insert(NOVELTY.to_owned(), json!({ "of": [1, null, "x"] }));
        }
        _ => {}
    }
}

fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c.is_ascii() {
            true => text.push(c),
            false => text.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}"))),
        }
    }
    text
}
