//! Thoughts: gathered from the stream, kept as they are, and put back where they stood.

use moxxy_sdk::provider::{Chunk, Part, Thinking, join_surrogates};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Where something stands in an answer: behind so many bytes of text and so many tool calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    pub text: usize,
    pub calls: usize,
}

/// A thought as it is kept: the service's block, and where it stood.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Thought {
    #[serde(rename = "anthropic")]
    pub block: Map<String, Value>,
    pub at: Position,
}

impl Thought {
    /// Adds a piece to one of the block's texts.
    pub(crate) fn add(&mut self, field: &str, piece: &str) {
        match self.block.get_mut(field) {
            Some(Value::String(text)) => text.push_str(piece),
            _ => drop(self.block.insert(field.to_owned(), piece.into())),
        }
    }

    pub(crate) fn finish(self) -> Chunk {
        let text = self.block.get("thinking").and_then(Value::as_str).filter(|text| !text.is_empty());
        let (text, opaque) = (text.map(str::to_owned), serde_json::to_string(&self).unwrap_or_default());
        let opaque = join_surrogates(opaque).into_bytes();
        Chunk::Thinking(Thinking { text, opaque })
    }

    /// The one that a part is; those of other providers mean nothing here.
    pub(crate) fn of(part: &Part) -> Option<Self> {
        match part {
            Part::Thinking(thinking) => serde_json::from_slice(&thinking.opaque).ok(),
            _ => None,
        }
    }
}
