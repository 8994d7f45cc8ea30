//! What the service streams, as chunks.

use std::collections::{BTreeMap, VecDeque};

use moxxy_sdk::{
    http::{Events, Response},
    provider::{Chunk, Error, Source, StopReason, ToolCallDelta, parse_json},
};
use serde_json::{Map, Value};

use crate::{
    refusal,
    thought::{Position, Thought},
    usage::Counted,
    wire::{Delta, Event},
};

/// The most blocks that are under way at once.
const BLOCKS: usize = 256;
/// The longest thought, in bytes.
const THOUGHT: usize = 4 * 1024 * 1024;

pub(crate) struct Stream {
    events: Events<Response>,
    /// The blocks under way, by the service's numbers.
    blocks: BTreeMap<u64, Open>,
    /// How much was said so far.
    at: Position,
    counted: Counted,
    stop_reason: Option<String>,
}

enum Open {
    Thought { thought: Thought, bytes: usize },
    Call { index: u32, input: String, has_begun: bool },
    Other,
}

impl Stream {
    pub(crate) fn new(response: Response) -> Self {
        let (blocks, at, counted) = Default::default();
        Self { events: response.events().lenient(), blocks, at, counted, stop_reason: None }
    }

    fn begin(&mut self, number: u64, block: Map<String, Value>, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        if self.blocks.len() >= BLOCKS {
            return Err(Error::Transport("the service begins more than it ends".to_owned()));
        }
        let text = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let open = match &*text("type") {
            "text" => {
                self.say(text("text"), chunks);
                Open::Other
            }
            "thinking" | "redacted_thinking" => Open::Thought { thought: Thought { block, at: self.at }, bytes: 0 },
            "tool_use" => {
                let index = u32::try_from(self.at.calls).unwrap_or(u32::MAX);
                let (id, name) = (Some(text("id")).filter(|id| !id.is_empty()), Some(text("name")));
                chunks.push_back(Chunk::ToolCall(ToolCallDelta {
                    index,
                    id,
                    name,
                    arguments: String::new(),
                    opaque: None,
                }));
                self.at.calls += 1;
                let input = block.get("input").and_then(Value::as_object).filter(|input| !input.is_empty());
                let input = input.map(|input| Value::Object(input.clone()).to_string()).unwrap_or_default();
                Open::Call { index, input, has_begun: false }
            }
            _ => Open::Other,
        };
        self.blocks.insert(number, open);
        Ok(())
    }

    fn go_on(&mut self, number: u64, delta: Delta, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        match (delta.kind.as_deref().unwrap_or_default(), self.blocks.get_mut(&number)) {
            ("text_delta", _) => self.say(delta.text.unwrap_or_default(), chunks),
            ("input_json_delta", Some(Open::Call { index, has_begun, .. })) => {
                let arguments = arguments(delta.partial_json);
                if !arguments.is_empty() {
                    *has_begun = true;
                    chunks.push_back(Chunk::ToolCall(ToolCallDelta {
                        index: *index,
                        id: None,
                        name: None,
                        arguments,
                        opaque: None,
                    }));
                }
            }
            ("thinking_delta", Some(Open::Thought { thought, bytes })) => {
                let text = delta.thinking.unwrap_or_default();
                *bytes = bytes.saturating_add(text.len());
                if *bytes > THOUGHT {
                    return Err(Error::Transport("the service sent a thought without end".to_owned()));
                }
                thought.add("thinking", &text);
                chunks.extend((!text.is_empty()).then_some(Chunk::ThinkingDelta(text)));
            }
            ("signature_delta", Some(Open::Thought { thought, bytes })) => {
                let signature = delta.signature.unwrap_or_default();
                *bytes = bytes.saturating_add(signature.len());
                if *bytes > THOUGHT {
                    return Err(Error::Transport("the service sent a signature without end".to_owned()));
                }
                thought.add("signature", &signature);
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes a whole message in place of a stream.
    fn whole(&mut self, message: Event, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        for (number, block) in (0..).zip(message.content) {
            self.begin(number, block, chunks)?;
            chunks.extend(self.blocks.remove(&number).and_then(Open::finish));
        }
        chunks.extend(message.usage.map(|usage| self.counted.update(&usage)));
        self.stop_reason = message.stop_reason;
        self.end(chunks)
    }

    fn say(&mut self, text: String, chunks: &mut VecDeque<Chunk>) {
        if !text.is_empty() {
            self.at.text += text.len();
            chunks.push_back(Chunk::Text(text));
        }
    }

    fn end(&mut self, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        chunks.extend(std::mem::take(&mut self.blocks).into_values().filter_map(Open::finish));
        let said = self.at != Position::default();
        let reason = self.stop_reason.take().filter(|reason| !reason.is_empty());
        chunks.push_back(Chunk::Stop(match reason.as_deref() {
            Some("end_turn" | "stop_sequence") => StopReason::EndTurn,
            Some("tool_use") => StopReason::ToolUse,
            Some("max_tokens" | "model_context_window_exceeded") => StopReason::MaxTokens,
            Some("refusal") => StopReason::Refusal,
            Some(other) => StopReason::Other(other.to_owned()),
            // Some services only say that this is all.
            None if self.at.calls > 0 => StopReason::ToolUse,
            None if said => StopReason::EndTurn,
            None => return Err(Error::Transport("the service ended its answer without saying anything".to_owned())),
        }));
        Ok(())
    }
}

impl Source for Stream {
    fn advance(&mut self, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        let data = match self.events.next() {
            // The answer is whole without the service's word for it.
            None | Some(Err(_)) if self.stop_reason.is_some() => return self.end(chunks),
            event => event.ok_or_else(Error::broken_off)??.data,
        };
        let event: Event = parse_json(&data)?;
        let number = event.index.unwrap_or(0);
        match &*event.kind {
            "message_start" => {
                let usage = event.message.and_then(|message| message.usage);
                chunks.extend(usage.map(|usage| self.counted.update(&usage)));
            }
            "content_block_start" => self.begin(number, event.content_block.unwrap_or_default(), chunks)?,
            "content_block_delta" => self.go_on(number, event.delta.unwrap_or_default(), chunks)?,
            "content_block_stop" => chunks.extend(self.blocks.remove(&number).and_then(Open::finish)),
            "message_delta" => {
                chunks.extend(event.usage.map(|usage| self.counted.update(&usage)));
                let reason = event.delta.and_then(|delta| delta.stop_reason);
                self.stop_reason = reason.or(self.stop_reason.take());
            }
            "message_stop" => self.end(chunks)?,
            "message" => self.whole(event, chunks)?,
            "error" => return Err(refusal::in_stream(parse_json(&data)?)),
            // Such as `ping`.
            _ => {}
        }
        Ok(())
    }
}

/// Returns a piece of a call's arguments: text that is JSON, or the object itself.
fn arguments(piece: Option<Value>) -> String {
    match piece {
        Some(Value::String(text)) => text,
        Some(object @ Value::Object(_)) => object.to_string(),
        _ => String::new(),
    }
}

impl Open {
    /// What is left to say when a block ends.
    fn finish(self) -> Option<Chunk> {
        match self {
            Self::Thought { thought, .. } => Some(thought.finish()),
            // All of it stood at the beginning.
            Self::Call { index, input, has_begun: false } if !input.is_empty() => {
                Some(Chunk::ToolCall(ToolCallDelta { index, id: None, name: None, arguments: input, opaque: None }))
            }
            Self::Call { .. } | Self::Other => None,
        }
    }
}
