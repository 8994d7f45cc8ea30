//! An answer of a model, collected from its chunks.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use moxxy_runtime::models;
use moxxy_secrets::Redactor;
use moxxy_system::json;
use moxxy_types::{
    events::Usage,
    ids,
    messages::{Message, Opaque, Partial, Role, Thinking, ToolCall},
    runs::Run,
};
use serde_json::Value;

use crate::services::messages;

/// Maximum number of tool calls in an answer.
const MAX_PARALLEL_CALLS: usize = 64;
/// Maximum length of a tool call's id, in bytes. The host replaces longer ones.
const MAX_CALL_ID_BYTES: usize = 8192;
/// Maximum length of a tool call's name, in bytes. Longer ones are truncated, and name no tool.
const MAX_CALL_NAME_BYTES: usize = 256;
/// Size of a chunk in addition to its text, in bytes.
const CHUNK_OVERHEAD_BYTES: usize = 16;

/// Answer of a model.
#[derive(Debug, Clone, Default)]
pub(in crate::services) struct Answer {
    pub text: String,
    thinking: Vec<Thinking>,
    calls: BTreeMap<u32, PartialCall>,
    opaque: Opaque,
    pub usage: Option<models::Usage>,
    pub stop: Option<models::StopReason>,
    /// Size of all that arrived, in bytes.
    bytes: usize,
    /// Size of what the model wrote, in bytes.
    written: usize,
    /// Size of the unfinished thought, in bytes.
    thought: usize,
    /// Resources that the component used.
    pub resources: Usage,
    /// Redactor of the provider's secrets.
    pub redactor: Redactor,
}

/// A partially received tool call.
#[derive(Debug, Clone, Default)]
struct PartialCall {
    id: Option<String>,
    name: String,
    arguments: String,
    opaque: Vec<u8>,
}

impl Answer {
    /// Adds a chunk. The error says how it violates the contract. `limit` is the maximum size of the answer, in bytes.
    pub(super) fn add(&mut self, chunk: models::Chunk, limit: usize) -> Result<(), String> {
        self.bytes += CHUNK_OVERHEAD_BYTES;
        match chunk {
            models::Chunk::Text(text) => {
                self.bytes += text.len();
                self.written += text.len();
                self.text.push_str(&text);
            }
            // The final `Thinking` chunk contains all of it.
            models::Chunk::ThinkingDelta(text) => self.thought += text.len(),
            models::Chunk::Warning(_) => {}
            models::Chunk::Thinking(thinking) => {
                let length = thinking.text.as_ref().map_or(0, String::len);
                self.bytes += thinking.opaque.len() + length;
                self.written += length;
                self.thought = 0;
                self.thinking.push(messages::thinking(thinking));
            }
            models::Chunk::ToolCall(delta) => self.add_call(delta)?,
            models::Chunk::Opaque(data) => {
                self.bytes += data.len();
                self.opaque.message = (!data.is_empty()).then(|| BASE64.encode(data));
            }
            models::Chunk::Other(part) => {
                self.bytes += part.kind.len() + part.data.len();
                self.opaque.parts.push((part.kind, BASE64.encode(part.data)));
            }
            models::Chunk::Usage(usage) => self.usage = Some(usage),
            models::Chunk::Stop(reason) => self.stop = Some(reason),
        }
        if self.bytes > limit { Err(format!("an answer has at most {limit} bytes")) } else { Ok(()) }
    }

    fn add_call(&mut self, delta: models::ToolCallDelta) -> Result<(), String> {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let opaque = delta.opaque.unwrap_or_default();
        let written = delta.arguments.len() + length(&delta.name);
        self.bytes += written + length(&delta.id) + opaque.len();
        self.written += written;
        let call = self.calls.entry(delta.index).or_default();
        call.id = call.id.take().or(delta.id.filter(|id| id.len() <= MAX_CALL_ID_BYTES));
        if let Some(mut name) = delta.name.filter(|_| call.name.is_empty()) {
            name.truncate(name.floor_char_boundary(MAX_CALL_NAME_BYTES));
            call.name = name;
        }
        call.arguments.push_str(&delta.arguments);
        if !opaque.is_empty() {
            call.opaque = opaque;
        }
        let crowded = self.calls.len() > MAX_PARALLEL_CALLS;
        if crowded { Err(format!("an answer makes at most {MAX_PARALLEL_CALLS} calls")) } else { Ok(()) }
    }

    /// Whether nothing arrived.
    pub(super) fn is_untouched(&self) -> bool {
        self.bytes == 0
    }

    /// Returns the size of what the model wrote, in bytes.
    pub(in crate::services) fn written_bytes(&self) -> usize {
        self.written + self.thought
    }

    /// Whether it has neither text nor tool calls.
    pub(in crate::services) fn is_empty(&self) -> bool {
        self.text.trim().is_empty() && self.calls.is_empty()
    }

    /// Whether its limit on output tokens cut it off.
    pub(in crate::services) fn is_cut(&self) -> bool {
        matches!(self.stop, Some(models::StopReason::MaxTokens))
    }

    pub(in crate::services) fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    pub(in crate::services) fn stop_reason(&self) -> String {
        match &self.stop {
            Some(models::StopReason::EndTurn) | None => "end_turn".into(),
            Some(models::StopReason::ToolUse) => "tool_use".into(),
            Some(models::StopReason::MaxTokens) => "max_tokens".into(),
            Some(models::StopReason::Refusal) => "refusal".into(),
            Some(models::StopReason::Other(other)) => other.chars().take(64).collect(),
        }
    }

    /// Returns what was said before the answer broke off, or `None` if that is nothing.
    pub(in crate::services) fn into_partial_message(self, run: &Run, partial: Partial, now: String) -> Option<Message> {
        if self.text.trim().is_empty() {
            return None;
        }
        let mut message = Message::new(run, Role::Assistant, self.redactor.text(&self.text).into_owned(), now);
        message.partial = Some(partial);
        Some(message)
    }

    /// Returns the message. `name` translates the name of a tool that was called.
    pub(in crate::services) fn into_message(self, run: &Run, name: impl Fn(&str) -> String, now: String) -> Message {
        let is_cut = self.is_cut();
        let partial = is_cut.then_some(Partial::OutputLimit);
        let (mut calls, mut opaque): (Vec<ToolCall>, _) = (Vec::with_capacity(self.calls.len()), self.opaque);
        for PartialCall { id, name: called, arguments, opaque: data } in self.calls.into_values() {
            // Ids must be unique, so that each result refers to one call.
            let is_unique = |id: &String| !id.is_empty() && !calls.iter().any(|other: &ToolCall| other.id == *id);
            let id = id.filter(is_unique).unwrap_or_else(ids::tool_call);
            // Nothing is known of arguments that were cut off before they began.
            let mut arguments = match is_cut && arguments.trim().is_empty() {
                true => Value::String(String::new()),
                false => parse(arguments),
            };
            // Again, because the escapes in the model's JSON text are decoded now.
            self.redactor.json(&mut arguments);
            if !data.is_empty() {
                opaque.calls.insert(id.clone(), BASE64.encode(data));
            }
            calls.push(ToolCall { id, name: name(&called), arguments });
        }
        let mut message = Message::new(run, Role::Assistant, self.text, now);
        message.tool_calls = (!calls.is_empty()).then_some(calls);
        message.thinking = (!self.thinking.is_empty()).then_some(self.thinking);
        message.opaque = (opaque != Opaque::default()).then_some(opaque);
        message.partial = partial;
        message
    }
}

/// Parses arguments. What is no object stays a text.
fn parse(arguments: String) -> Value {
    match serde_json::from_str(if arguments.trim().is_empty() { "{}" } else { &arguments }) {
        Ok(object @ Value::Object(_)) if json::is_shallow(&object) => object,
        _ => Value::String(arguments),
    }
}
