//! What the model thinks before it answers: gathered from the stream, kept, and sent back.

use std::collections::BTreeMap;

use moxxy_sdk::provider::{Chunk, Error, Part, Thinking, join_surrogates};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The longest thought, in bytes.
const LIMIT: usize = 4 * 1024 * 1024;
/// Fields of a detail that come in pieces.
const PIECES: [&str; 3] = ["text", "summary", "data"];

/// A thought under way.
#[derive(Debug, Default)]
pub(crate) struct Thought {
    text: String,
    details: Vec<Map<String, Value>>,
    bytes: usize,
    /// The field in which the service sends its text, and the service.
    field: Option<(String, String)>,
}

/// What is kept of a finished one beside its text.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    /// OpenRouter's `reasoning_details`, which it wants back.
    openai: Vec<Map<String, Value>>,
    /// The field in which the text came, and the service that sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    field: Option<(String, String)>,
}

impl Thought {
    /// Adds a piece of the text, for whoever watches too.
    pub(crate) fn say(&mut self, text: String) -> Result<Option<Chunk>, Error> {
        self.weigh(text.len())?;
        self.text.push_str(&text);
        Ok((!text.is_empty()).then_some(Chunk::ThinkingDelta(text)))
    }

    /// Says in which field the service sends the text.
    pub(crate) fn set_field(&mut self, field: &str, service: &str) {
        if self.field.is_none() {
            self.field = Some((field.to_owned(), service.to_owned()));
        }
    }

    /// Adds a piece of a detail: to the one before, if it is of the same.
    pub(crate) fn detail(&mut self, piece: Map<String, Value>) -> Result<(), Error> {
        self.weigh(piece.iter().map(|(name, value)| name.len() + value.as_str().map_or(16, str::len)).sum())?;
        let same = |name, known: &Map<String, Value>| known.get(name) == piece.get(name);
        let has_id = |detail: &Map<String, Value>| detail.get("id").is_some_and(|id| !id.is_null());
        let continues = |known: &&mut Map<String, Value>| {
            same("type", known) && same("index", known) && (same("id", known) || !has_id(&piece))
        };
        let Some(known) = self.details.last_mut().filter(continues) else {
            self.details.push(piece);
            return Ok(());
        };
        for (name, value) in piece {
            match (known.get_mut(&name), value) {
                (_, Value::Null) => {}
                (Some(Value::String(known)), Value::String(more)) if PIECES.contains(&name.as_str()) => {
                    known.push_str(&more);
                }
                (_, value) => drop(known.insert(name, value)),
            }
        }
        Ok(())
    }

    /// Finishes the thought, if there is one.
    pub(crate) fn finish(&mut self) -> Option<Chunk> {
        let Self { text, details, field, .. } = std::mem::take(self);
        if text.is_empty() && details.is_empty() {
            return None;
        }
        let opaque = serde_json::to_string(&Kept { openai: details, field }).unwrap_or_default();
        let opaque = join_surrogates(opaque).into_bytes();
        Some(Chunk::Thinking(Thinking { text: Some(text).filter(|text| !text.is_empty()), opaque }))
    }

    fn weigh(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(bytes);
        let much = || Error::Transport("the service sent a thought without end".to_owned());
        if self.bytes > LIMIT { Err(much()) } else { Ok(()) }
    }
}

impl Kept {
    /// The fields by which the thoughts of a message go back. Those of other providers do not. `calls_tools` says whether
    /// the message calls tools, with which services want the thought back.
    pub(crate) fn thoughts(
        parts: &[Part],
        field: Option<&str>,
        calls_tools: bool,
        service: &str,
    ) -> BTreeMap<String, Value> {
        let (mut details, mut texts, mut came_in) = (Vec::new(), Vec::new(), None);
        for part in parts {
            let Part::Thinking(thinking) = part else { continue };
            let Ok(Self { openai, field }) = serde_json::from_slice(&thinking.opaque) else { continue };
            details.extend(openai.into_iter().map(Value::Object));
            texts.extend(thinking.text.as_deref());
            came_in = came_in.or(field);
        }
        if !details.is_empty() {
            return [("reasoning_details".to_owned(), Value::Array(details))].into();
        }
        let received = came_in.filter(|(field, of)| calls_tools && field == "reasoning_content" && of == service);
        let field = field.map(str::to_owned).or(received.map(|(field, _)| field)).filter(|_| !texts.is_empty());
        field.map(|field| (field, texts.concat().into())).into_iter().collect()
    }
}
