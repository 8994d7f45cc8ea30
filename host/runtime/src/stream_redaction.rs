//! Redacts the secrets of a call from a streaming completion. Text is passed on at once, except bytes that may
//! begin a secret. Only clients see these chunks, never components.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use moxxy_secrets::{Redactor, Release, Stream};

use super::{context::Secrets, models};

/// Redaction state of one completion.
pub struct Cleaning {
    secrets: Option<Arc<dyn Secrets>>,
    /// For the secrets opened so far.
    redactor: Option<Redactor>,
    text: Text,
    /// Arguments of each tool call, by index.
    calls: BTreeMap<u32, Text>,
    /// The unfinished thought.
    thought: Text,
    /// The end of the finished thoughts.
    thoughts: String,
}

/// Length of the finished thoughts that is searched again, in bytes.
const THOUGHTS: usize = 4096;
const WITHHELD: &str = "[redacted]";

/// A text that arrives in chunks.
#[derive(Default)]
struct Text {
    stream: Option<Stream>,
    /// Bytes of an incomplete character.
    part: Vec<u8>,
}

impl Cleaning {
    pub fn new(secrets: Option<Arc<dyn Secrets>>) -> Self {
        let (text, thought) = (Text::default(), Text::default());
        Self { secrets, redactor: None, text, calls: BTreeMap::new(), thought, thoughts: String::new() }
    }

    /// Takes a chunk and returns the chunks that can be passed on.
    pub fn take(&mut self, chunk: models::Chunk) -> Vec<models::Chunk> {
        self.refresh();
        let Some(redactor) = &self.redactor else { return vec![chunk] };
        match chunk {
            models::Chunk::Text(text) => said(self.text.push(redactor, text)),
            models::Chunk::ThinkingDelta(text) => vec![models::Chunk::ThinkingDelta(self.thought.push(redactor, text))],
            models::Chunk::ToolCall(mut delta) => {
                [&mut delta.id, &mut delta.name].into_iter().flatten().for_each(|text| redactor.replace(text));
                let arguments = self.calls.entry(delta.index).or_default().push(redactor, delta.arguments);
                vec![models::Chunk::ToolCall(models::ToolCallDelta { arguments, ..delta })]
            }
            models::Chunk::Thinking(mut thinking) => {
                let text = thinking.text.take().unwrap_or_default();
                // A thought must not be modified, because services sign them: pass it on unchanged or withhold
                // it.
                let both = self.thoughts.clone() + &text;
                let split = matches!(redactor.text(&both), Cow::Owned(_));
                thinking.text = Some(if split { redactor.text(&text).replace(&*text, WITHHELD) } else { text });
                let from = both.floor_char_boundary(both.len().saturating_sub(THOUGHTS));
                self.thoughts = both.get(from..).unwrap_or_default().to_owned();
                thinking.opaque = redactor.bytes(&thinking.opaque).into_owned();
                // The thought is complete.
                self.thought = Text::default();
                vec![models::Chunk::Thinking(thinking)]
            }
            models::Chunk::Stop(mut reason) => {
                if let models::StopReason::Other(text) = &mut reason {
                    redactor.replace(text);
                }
                let mut last = self.rest();
                last.push(models::Chunk::Stop(reason));
                last
            }
            chunk @ models::Chunk::Usage(_) => vec![chunk],
        }
    }

    /// Returns the text that was held back.
    fn rest(&mut self) -> Vec<models::Chunk> {
        let mut last = said(std::mem::take(&mut self.text).finish());
        for (index, text) in std::mem::take(&mut self.calls) {
            let arguments = text.finish();
            if !arguments.is_empty() {
                last.push(models::Chunk::ToolCall(models::ToolCallDelta { index, id: None, name: None, arguments }));
            }
        }
        last
    }

    /// Updates the redactor if more secrets were opened.
    fn refresh(&mut self) {
        let now = self.secrets.as_ref().and_then(|secrets| secrets.redactor());
        let same = match (&self.redactor, &now) {
            (Some(before), Some(now)) => before.shares_secrets_with(now),
            (before, now) => before.is_none() && now.is_none(),
        };
        if let (false, Some(redactor)) = (same, &now) {
            self.text.restart(redactor);
            self.thought.restart(redactor);
            self.calls.values_mut().for_each(|text| text.restart(redactor));
            self.redactor = now;
        }
    }
}

impl Text {
    fn push(&mut self, redactor: &Redactor, text: String) -> String {
        let stream = self.stream.get_or_insert_with(|| redactor.stream(Release::Early));
        self.part.extend_from_slice(&stream.push(text.into()));
        let whole = std::str::from_utf8(&self.part).map_or_else(|error| error.valid_up_to(), str::len);
        let rest = self.part.split_off(whole);
        String::from_utf8(std::mem::replace(&mut self.part, rest)).unwrap_or_default()
    }

    fn restart(&mut self, redactor: &Redactor) {
        if let Some(before) = self.stream.take() {
            let mut stream = redactor.stream(Release::Early);
            self.part.extend_from_slice(&stream.push(before.finish()));
            self.stream = Some(stream);
        }
    }

    fn finish(mut self) -> String {
        if let Some(stream) = self.stream.take() {
            self.part.extend_from_slice(&stream.finish());
        }
        String::from_utf8_lossy(&self.part).into_owned()
    }
}

fn said(text: String) -> Vec<models::Chunk> {
    if text.is_empty() { Vec::new() } else { vec![models::Chunk::Text(text)] }
}
