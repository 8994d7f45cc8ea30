//! Redacts the secrets of a call from a streaming completion. Text is passed on at once, except bytes that may
//! begin a secret. Only clients see these chunks, never components.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use moxxy_secrets::{Redactor, Release, Stream};

use super::{context::Secrets, models};

/// Redaction state of one completion.
pub(crate) struct StreamRedaction {
    secrets: Option<Arc<dyn Secrets>>,
    /// For the secrets opened so far.
    redactor: Option<Redactor>,
    text: TextRedaction,
    /// Arguments of each tool call, by index.
    calls: BTreeMap<u32, TextRedaction>,
    /// The unfinished thought.
    thought: TextRedaction,
    /// The end of the finished thoughts.
    thoughts: String,
}

/// Length of the finished thoughts that is searched again, in bytes.
const SEARCHED_THOUGHT_BYTES: usize = 4096;
const WITHHELD: &str = "[redacted]";

/// A text that arrives in chunks.
#[derive(Default)]
struct TextRedaction {
    stream: Option<Stream>,
    /// Bytes of an incomplete character.
    incomplete: Vec<u8>,
}

impl StreamRedaction {
    pub(crate) fn new(secrets: Option<Arc<dyn Secrets>>) -> Self {
        let (text, thought) = (TextRedaction::default(), TextRedaction::default());
        Self { secrets, redactor: None, text, calls: BTreeMap::new(), thought, thoughts: String::new() }
    }

    /// Takes a chunk and returns the chunks that can be passed on.
    pub(crate) fn push(&mut self, chunk: models::Chunk) -> Vec<models::Chunk> {
        self.update_redactor();
        let Some(redactor) = &self.redactor else { return vec![chunk] };
        match chunk {
            models::Chunk::Text(text) => text_chunks(self.text.push(redactor, text)),
            models::Chunk::ThinkingDelta(text) => vec![models::Chunk::ThinkingDelta(self.thought.push(redactor, text))],
            models::Chunk::ToolCall(mut delta) => {
                [&mut delta.id, &mut delta.name].into_iter().flatten().for_each(|text| redactor.replace(text));
                delta.opaque = delta.opaque.map(|opaque| redactor.bytes(&opaque).into_owned());
                let arguments = self.calls.entry(delta.index).or_default().push(redactor, delta.arguments);
                vec![models::Chunk::ToolCall(models::ToolCallDelta { arguments, ..delta })]
            }
            models::Chunk::Thinking(mut thinking) => {
                let text = thinking.text.take().unwrap_or_default();
                // A thought must not be modified, because services sign them: pass it on unchanged or withhold
                // it.
                let joined = self.thoughts.clone() + &text;
                let has_secret = matches!(redactor.text(&joined), Cow::Owned(_));
                thinking.text = Some(if has_secret { redactor.text(&text).replace(&*text, WITHHELD) } else { text });
                let start = joined.floor_char_boundary(joined.len().saturating_sub(SEARCHED_THOUGHT_BYTES));
                self.thoughts = joined.get(start..).unwrap_or_default().to_owned();
                thinking.opaque = redactor.bytes(&thinking.opaque).into_owned();
                // The thought is complete.
                self.thought = TextRedaction::default();
                vec![models::Chunk::Thinking(thinking)]
            }
            models::Chunk::Stop(mut reason) => {
                if let models::StopReason::Other(text) = &mut reason {
                    redactor.replace(text);
                }
                let mut last = self.flush();
                last.push(models::Chunk::Stop(reason));
                last
            }
            models::Chunk::Opaque(data) => vec![models::Chunk::Opaque(redactor.bytes(&data).into_owned())],
            models::Chunk::Other(mut part) => {
                redactor.replace(&mut part.kind);
                part.data = redactor.bytes(&part.data).into_owned();
                vec![models::Chunk::Other(part)]
            }
            models::Chunk::Warning(mut text) => {
                redactor.replace(&mut text);
                vec![models::Chunk::Warning(text)]
            }
            chunk @ models::Chunk::Usage(_) => vec![chunk],
        }
    }

    /// Returns the text that was held back.
    fn flush(&mut self) -> Vec<models::Chunk> {
        let mut last = text_chunks(std::mem::take(&mut self.text).finish());
        for (index, text) in std::mem::take(&mut self.calls) {
            let arguments = text.finish();
            if !arguments.is_empty() {
                last.push(models::Chunk::ToolCall(models::ToolCallDelta {
                    index,
                    id: None,
                    name: None,
                    arguments,
                    opaque: None,
                }));
            }
        }
        last
    }

    /// Updates the redactor if more secrets were opened.
    fn update_redactor(&mut self) {
        let current = self.secrets.as_ref().and_then(|secrets| secrets.redactor());
        let same = match (&self.redactor, &current) {
            (Some(previous), Some(current)) => previous.shares_secrets_with(current),
            (previous, current) => previous.is_none() && current.is_none(),
        };
        if let (false, Some(redactor)) = (same, &current) {
            self.text.restart(redactor);
            self.thought.restart(redactor);
            self.calls.values_mut().for_each(|text| text.restart(redactor));
            self.redactor = current;
        }
    }
}

impl TextRedaction {
    fn push(&mut self, redactor: &Redactor, text: String) -> String {
        let stream = self.stream.get_or_insert_with(|| redactor.stream(Release::Early));
        self.incomplete.extend_from_slice(&stream.push(text.into()));
        let complete = std::str::from_utf8(&self.incomplete).map_or_else(|error| error.valid_up_to(), str::len);
        let rest = self.incomplete.split_off(complete);
        String::from_utf8(std::mem::replace(&mut self.incomplete, rest)).unwrap_or_default()
    }

    fn restart(&mut self, redactor: &Redactor) {
        if let Some(previous) = self.stream.take() {
            let mut stream = redactor.stream(Release::Early);
            self.incomplete.extend_from_slice(&stream.push(previous.finish()));
            self.stream = Some(stream);
        }
    }

    fn finish(mut self) -> String {
        if let Some(stream) = self.stream.take() {
            self.incomplete.extend_from_slice(&stream.finish());
        }
        String::from_utf8_lossy(&self.incomplete).into_owned()
    }
}

fn text_chunks(text: String) -> Vec<models::Chunk> {
    if text.is_empty() { Vec::new() } else { vec![models::Chunk::Text(text)] }
}
