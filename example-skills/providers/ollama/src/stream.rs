//! What the server streams, as chunks: a JSON object on each line, of which the last one says so.

use std::collections::VecDeque;

use moxxy_sdk::{
    http::{Lines, Response},
    provider::{Chunk, Error, Source, StopReason, Thinking, ToolCallDelta, Usage, parse_json},
};
use serde_json::{Value, json};

use crate::{
    refusal,
    wire::{Line, Made, Piece},
};

/// What tells our thoughts from those of other providers.
pub(crate) const MARK: &[u8] = b"ollama";
/// The longest thought, in bytes.
const THOUGHT: usize = 4 * 1024 * 1024;
/// The most calls of one answer.
const CALLS: u32 = 256;

pub(crate) struct Stream {
    lines: Lines<Response>,
    thought: String,
    calls: u32,
}

impl Stream {
    pub(crate) fn new(response: Response) -> Self {
        Self { lines: response.lines(), thought: String::new(), calls: 0 }
    }

    fn piece(&mut self, piece: Piece, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        if let Some(text) = piece.thinking.filter(|text| !text.is_empty()) {
            if self.thought.len() + text.len() > THOUGHT {
                return Err(Error::Transport("the server sent a thought without end".to_owned()));
            }
            self.thought.push_str(&text);
            chunks.push_back(Chunk::ThinkingDelta(text));
        }
        if let Some(text) = piece.content.filter(|text| !text.is_empty()) {
            chunks.extend(self.finished_thought());
            chunks.push_back(Chunk::Text(text));
        }
        for made in piece.tool_calls.into_iter().flatten() {
            chunks.extend(self.finished_thought());
            chunks.push_back(self.call(made)?);
        }
        Ok(())
    }

    /// Calls come whole, mostly without ids.
    fn call(&mut self, made: Made) -> Result<Chunk, Error> {
        let index = self.calls;
        self.calls += 1;
        if self.calls > CALLS {
            return Err(Error::Transport(format!("the server makes more than {CALLS} tool calls at once")));
        }
        let arguments = arguments(made.function.arguments);
        let (id, name) = (made.id.filter(|id| !id.is_empty()), Some(made.function.name));
        Ok(Chunk::ToolCall(ToolCallDelta { index, id, name, arguments, opaque: None }))
    }

    fn finished_thought(&mut self) -> Option<Chunk> {
        let text = Some(std::mem::take(&mut self.thought)).filter(|text| !text.is_empty());
        text.map(|text| Chunk::Thinking(Thinking { text: Some(text), opaque: MARK.to_vec() }))
    }

    fn stop_reason(&self, reason: Option<String>) -> StopReason {
        match reason.as_deref() {
            // Old servers do not say.
            None | Some("" | "stop") if self.calls > 0 => StopReason::ToolUse,
            None | Some("" | "stop") => StopReason::EndTurn,
            Some("length") => StopReason::MaxTokens,
            Some(other) => StopReason::Other(other.to_owned()),
        }
    }
}

impl Source for Stream {
    fn advance(&mut self, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        let line = self.lines.next().ok_or_else(Error::broken_off)??;
        if line.trim().is_empty() {
            return Ok(());
        }
        let line: Line = parse_json(&line)?;
        if let Some(error) = line.error.filter(|error| !error.is_null()) {
            return Err(refusal::in_stream(json!({ "error": error })));
        }
        self.piece(line.message.unwrap_or_default(), chunks)?;
        if line.done == Some(true) {
            chunks.extend(self.finished_thought());
            chunks.extend(usage(line.prompt_eval_count, line.eval_count));
            chunks.push_back(Chunk::Stop(self.stop_reason(line.done_reason)));
        }
        Ok(())
    }
}

fn usage(read: Option<u64>, written: Option<u64>) -> Option<Chunk> {
    // Thoughts are among the output, and nobody says how many.
    let usage = Usage::new(read.unwrap_or(0), written.unwrap_or(0));
    (read.is_some() || written.is_some()).then_some(Chunk::Usage(usage))
}

/// Returns the arguments of a call: an object, or text that is one.
fn arguments(arguments: Option<Value>) -> String {
    match arguments {
        Some(Value::String(text)) => text,
        Some(object @ Value::Object(_)) => object.to_string(),
        _ => "{}".to_owned(),
    }
}
