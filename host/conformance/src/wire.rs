//! How a service says what the suite means: a file of templates, of which `wires/openai.toml` explains
//! each part. Three are in the binary; others come from whoever checks a component.

use std::collections::BTreeMap;

use http::{HeaderValue, StatusCode};
use moxxy_types::error::{Error, Result};
use serde::{Deserialize, de::Error as _};
use serde_json::{Map, Value, json};

use super::script::{Kind, Reason};

const EMBEDDED: [&str; 3] =
    [include_str!("wires/openai.toml"), include_str!("wires/anthropic.toml"), include_str!("wires/ollama.toml")];
/// The longest file, in bytes.
const LONGEST: usize = 64 * 1024;
/// The longest name, in bytes.
const NAME: usize = 64;
/// The most events of a stream that it describes.
const EVENTS: usize = 64;
/// What no service has in its answers yet.
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

/// How events are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Framing {
    Events,
    Lines,
}

/// How a text, a thought or a call comes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Block {
    pub open: Vec<Template>,
    pub piece: Vec<Template>,
    pub close: Vec<Template>,
}

/// What is answered to a request for the models.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    pub method: String,
    pub path: String,
    /// What has to stand in the request's body.
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

/// JSON in which texts such as `"$text"` stand for values.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Template(Value);

pub type Values = Map<String, Value>;

/// What may be different about a stream and means the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    /// With more fields in every object.
    NewFields,
    /// With more events between the others.
    NewEvents,
    /// Letters beyond ASCII are written as `\u` and their number.
    Escaped,
    /// Lines end as in HTTP, and there is more between them than has to be.
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
        // Of some a stream has each beside each.
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

    /// Those in the binary.
    pub fn embedded() -> Result<Vec<Self>> {
        EMBEDDED.into_iter().map(Self::parse).collect()
    }

    /// One in the binary by its name, or else a file's content.
    pub fn named(text: &str) -> Result<Self> {
        if text.contains('\n') {
            return Self::parse(text);
        }
        let all = Self::embedded()?;
        let names = all.iter().map(|wire| wire.name.clone()).collect::<Vec<_>>().join(", ");
        let unknown = || Error::invalid("unknown_wire", format!("The suite has no wire {text:?}; it has: {names}"));
        all.into_iter().find(|wire| wire.name == text).ok_or_else(unknown)
    }

    /// Whether a request is one for a completion.
    pub fn is_asked(&self, method: &str, path: &str) -> bool {
        self.method == method && path.ends_with(&self.path)
    }

    /// Whether it says a value at all.
    pub fn says(&self, name: &str) -> bool {
        self.begin.iter().chain(&self.finish).chain(self.pieces()).any(|template| holds(&template.0, name))
    }

    pub fn has_lines(&self) -> bool {
        self.framing == Framing::Lines
    }

    /// One event of a stream.
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

    /// What ends every stream.
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
    /// The text with its values.
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

/// Of an error.
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

/// A text that is a name becomes its value; `$message` may stand within one.
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

/// Adds a field to every object. An empty one may be what a tool is called with.
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
