//! What the service streams, as chunks. Services differ in every detail, so whatever has one meaning is accepted.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use moxxy_sdk::{
    http::{Events, Response},
    provider::{Chunk, Error, Retry, Source, StopReason, Tagged, ThinkTags, parse_json},
};
use serde_json::{Map, Value, json};

use crate::{
    calls::Calls,
    opaque,
    refusal::{self, Known},
    thought::Thought,
    usage, wire,
};

/// How long usage is waited for after the answer is whole.
const USAGE_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) struct Stream {
    events: Box<Events<Response>>,
    /// The service, as opaque data names it.
    service: String,
    known: Known,
    warnings: Vec<String>,
    calls: Calls,
    thought: Thought,
    tags: ThinkTags,
    kept: Map<String, Value>,
    finish: Option<String>,
    has_refused: bool,
    has_said: bool,
    has_usage: bool,
    /// Whether the whole answer came at once, although a stream was asked for.
    is_whole: bool,
    is_first: bool,
    /// What is no answer, if nothing else came: what the service says in place of one.
    other: Option<Value>,
    /// When the answer was whole.
    finished: Option<Instant>,
}

impl Source for Stream {
    fn advance(&mut self, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        chunks.extend(self.warnings.drain(..).map(Chunk::Warning));
        let event = match self.events.next() {
            // The answer is whole without the service's word for it.
            None | Some(Err(_)) if self.finish.is_some() => return self.end(chunks),
            None if self.is_whole => return self.end(chunks),
            None => return Err(self.broken_off()),
            Some(event) => event?,
        };
        if event.name == ":" {
            // The service is at work; after the end of the answer there is little to wait for.
            let waited = self.finished.is_some_and(|at| at.elapsed() >= USAGE_TIMEOUT);
            return if waited || (self.finish.is_some() && self.has_usage) { self.end(chunks) } else { Ok(()) };
        }
        if event.data.trim() == "[DONE]" {
            return self.end(chunks);
        }
        let piece: Value = parse_json(&event.data)?;
        if event.name == "error" || is_error(&piece) {
            return Err(self.known.adapt(refusal::in_stream(piece)));
        }
        // There is one choice, unless the configuration asks for more.
        let is_first = |choice: &&Map<String, Value>| choice.get("index").and_then(Value::as_u64).unwrap_or(0) == 0;
        for choice in wire::objects(piece.get("choices")).into_iter().filter(is_first) {
            self.choice(choice, chunks)?;
        }
        let groq = piece.pointer("/x_groq/usage");
        let usage = usage_of(piece.get("usage").filter(|usage| usage.is_object()).or(groq));
        self.has_usage |= usage.is_some();
        chunks.extend(usage);
        if self.finish.is_some() {
            self.finished.get_or_insert_with(Instant::now);
            self.events.get_mut().set_read_timeout(USAGE_TIMEOUT);
        }
        self.is_whole |= piece.get("object").is_some_and(|object| object == "chat.completion");
        self.other = if self.is_first && piece.get("choices").is_none() { Some(piece) } else { None };
        self.is_first = false;
        Ok(())
    }
}

impl Stream {
    pub(crate) fn new(response: Response, service: String, known: Known, warnings: Vec<String>) -> Self {
        Self {
            events: Box::new(response.events().lenient().with_comments()),
            service,
            known,
            warnings,
            calls: Calls::default(),
            thought: Thought::default(),
            tags: ThinkTags::default(),
            kept: Map::new(),
            finish: None,
            has_refused: false,
            has_said: false,
            has_usage: false,
            is_whole: false,
            is_first: true,
            other: None,
            finished: None,
        }
    }

    fn broken_off(&mut self) -> Error {
        match self.other.take() {
            Some(other) => self.known.adapt(refusal::in_stream(other)),
            None => Error::broken_off(),
        }
    }

    fn choice(&mut self, choice: &Map<String, Value>, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        let delta = choice.get("delta").filter(|delta| delta.as_object().is_some_and(|fields| !fields.is_empty()));
        // A whole message in place of a piece of one, and the text of older completions.
        let said = delta.or_else(|| choice.get("message")).and_then(Value::as_object);
        match (said, choice.get("text")) {
            (Some(said), _) => self.delta(said, chunks)?,
            (None, Some(text)) => self.delta(&[("content".to_owned(), text.clone())].into_iter().collect(), chunks)?,
            (None, None) => {}
        }
        chunks.extend(usage_of(choice.get("usage")));
        let choice = Value::Object(choice.clone());
        self.finish = wire::finish_reason(&choice).or(self.finish.take());
        Ok(())
    }

    fn delta(&mut self, delta: &Map<String, Value>, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        let said = ["reasoning_content", "reasoning"]
            .into_iter()
            .find_map(|field| Some((field, wire::text(delta.get(field)).filter(|text| !text.is_empty())?)));
        let (field, mut thought) = said.map_or((None, String::new()), |(field, text)| (Some(field), text));
        let has_thought = field.is_some();
        for detail in wire::objects(delta.get("reasoning_details")) {
            if !has_thought {
                let text = detail.get("text").or(detail.get("summary")).and_then(Value::as_str);
                thought.push_str(text.unwrap_or_default());
            }
            self.thought.detail(detail.clone())?;
        }
        if let Some(field) = field {
            self.thought.set_field(field, &self.service);
        }
        chunks.extend(self.thought.say(thought)?);
        for (is_thought, text) in wire::texts(delta.get("content")) {
            match is_thought {
                true => chunks.extend(self.thought.say(text)?),
                false => self.say(text, chunks)?,
            }
        }
        if let Some(refusal) = wire::text(delta.get("refusal")).filter(|refusal| !refusal.is_empty()) {
            self.has_refused = true;
            self.say(refusal, chunks)?;
        }
        opaque::collect(delta, &mut self.kept);
        let legacy = delta.get("function_call").filter(|call| call.is_object());
        let legacy = legacy.map(|call| json!({ "index": 0, "function": call }));
        for call in wire::objects(delta.get("tool_calls")).into_iter().chain(wire::objects(legacy.as_ref())) {
            self.flush_tags(chunks)?;
            chunks.extend(self.thought.finish());
            chunks.extend(self.calls.add(call, &self.service)?);
        }
        Ok(())
    }

    fn say(&mut self, text: String, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        let pieces = self.tags.push(&text);
        self.tagged(pieces, chunks)
    }

    fn flush_tags(&mut self, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        let pieces = self.tags.finish();
        self.tagged(pieces, chunks)
    }

    fn tagged(&mut self, pieces: Vec<Tagged>, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        for piece in pieces {
            match piece {
                Tagged::Thought(text) => chunks.extend(self.thought.say(text)?),
                Tagged::Text(text) => {
                    chunks.extend(self.thought.finish());
                    self.has_said = true;
                    chunks.push_back(Chunk::Text(text));
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        if self.calls.has_nameless() {
            return Err(Error::Transport("the service calls a tool without a name".to_owned()));
        }
        self.flush_tags(chunks)?;
        let thought = self.thought.finish();
        self.has_said |= thought.is_some();
        chunks.extend(thought);
        chunks.extend(opaque::to_opaque(&self.service, &self.kept).map(Chunk::Opaque));
        chunks.push_back(Chunk::Stop(self.stop_reason()?));
        Ok(())
    }

    fn stop_reason(&mut self) -> Result<StopReason, Error> {
        let Some(reason) = self.finish.take() else {
            // Some services only say that this is all.
            return match self.has_said || !self.calls.is_empty() {
                true if self.calls.is_empty() => Ok(StopReason::EndTurn),
                true => Ok(StopReason::ToolUse),
                false => Err(Error::Transport("the service ended its answer without saying anything".to_owned())),
            };
        };
        Ok(match &*reason {
            "content_filter" => StopReason::Refusal,
            "length" | "max_tokens" => StopReason::MaxTokens,
            // Some services call every good end `stop`.
            "stop" | "eos" | "end_turn" if self.has_refused => StopReason::Refusal,
            "stop" | "eos" | "end_turn" if self.calls.is_empty() => StopReason::EndTurn,
            "stop" | "eos" | "end_turn" | "tool_calls" | "function_call" => StopReason::ToolUse,
            "error" => return Err(Error::Transport("the service gave up in the midst of its answer".to_owned())),
            "insufficient_system_resource" => {
                let message = "the service ran out of resources".to_owned();
                return Err(Error::Overloaded(Retry { message, retry_after: None }));
            }
            _ => StopReason::Other(reason),
        })
    }
}

fn is_error(piece: &Value) -> bool {
    let has_error = piece.get("error").is_some_and(|error| !error.is_null());
    has_error || piece.get("object").is_some_and(|object| object == "error")
}

fn usage_of(usage: Option<&Value>) -> Option<Chunk> {
    usage.filter(|usage| usage.is_object()).map(|usage| Chunk::Usage(usage::read(usage)))
}
