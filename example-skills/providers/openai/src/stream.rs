//! What the service streams, as chunks. Services differ in every detail, so whatever has one meaning is accepted.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use moxxy_sdk::{
    http::{Events, Response},
    provider::{Chunk, Error, Retry, Source, StopReason, Tagged, ThinkTags},
};
use serde_json::{Map, Value, json};

use crate::{
    calls::Calls,
    json::{self, Joiner},
    opaque,
    refusal::{self, Known},
    thought::Thought,
    usage, wire,
};

/// How long usage is waited for after the answer is whole.
const USAGE_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) struct Stream {
    input: Input,
    /// The service, as opaque data names it.
    service: String,
    known: Known,
    warnings: Vec<String>,
    calls: Calls,
    thought: Thought,
    tags: ThinkTags,
    joiner: Joiner,
    kept: Map<String, Value>,
    finish: Option<String>,
    has_refused: bool,
    has_said: bool,
    has_usage: bool,
    /// When the answer was whole.
    finished: Option<Instant>,
}

/// What is read.
enum Input {
    Events(Box<Events<Response>>),
    /// The whole answer at once, although a stream was asked for.
    Whole(Option<Value>),
}

impl Source for Stream {
    fn advance(&mut self, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        chunks.extend(self.warnings.drain(..).map(Chunk::Warning));
        let (name, piece) = match &mut self.input {
            Input::Whole(whole) => match whole.take() {
                Some(whole) => (String::new(), whole),
                None => return self.end(chunks),
            },
            Input::Events(events) => match events.next() {
                // The answer is whole without the service's word for it.
                None | Some(Err(_)) if self.finish.is_some() => return self.end(chunks),
                None => return Err(Error::Transport("the service broke off before its answer was whole".to_owned())),
                Some(event) => {
                    let event = event?;
                    if event.name == ":" {
                        // The service is at work; after the end of the answer there is little to wait for.
                        let waited = self.finished.is_some_and(|at| at.elapsed() >= USAGE_TIMEOUT);
                        return if waited || (self.finish.is_some() && self.has_usage) {
                            self.end(chunks)
                        } else {
                            Ok(())
                        };
                    }
                    if event.data.trim() == "[DONE]" {
                        return self.end(chunks);
                    }
                    let piece = json::parse(&event.data).map_err(|error| {
                        Error::Transport(format!("the service sent what makes no sense: {error:.200}"))
                    })?;
                    (event.name, piece)
                }
            },
        };
        if name == "error" || is_error(&piece) {
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
        if self.finish.is_some()
            && let Input::Events(events) = &mut self.input
        {
            self.finished.get_or_insert_with(Instant::now);
            events.get_mut().set_read_timeout(USAGE_TIMEOUT);
        }
        Ok(())
    }
}

impl Stream {
    pub(crate) fn open(
        response: Response,
        service: String,
        known: Known,
        warnings: Vec<String>,
    ) -> Result<Self, Error> {
        let media_type = response.header("Content-Type").unwrap_or_default();
        let input = if media_type.trim_start().to_ascii_lowercase().starts_with("application/json") {
            let text = response.text()?;
            let whole = json::parse(&text)
                .map_err(|error| Error::Transport(format!("the service sent what makes no sense: {error:.200}")))?;
            if is_error(&whole) || whole.get("choices").is_none() {
                return Err(known.adapt(refusal::in_stream(whole)));
            }
            Input::Whole(Some(whole))
        } else {
            Input::Events(Box::new(response.events().keep_last().with_comments()))
        };
        Ok(Self {
            input,
            service,
            known,
            warnings,
            calls: Calls::default(),
            thought: Thought::default(),
            tags: ThinkTags::default(),
            joiner: Joiner::default(),
            kept: Map::new(),
            finish: None,
            has_refused: false,
            has_said: false,
            has_usage: false,
            finished: None,
        })
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
        let said = ["reasoning_content", "reasoning"].into_iter().find_map(|field| {
            let text = wire::text(delta.get(field)).filter(|text| !text.is_empty())?;
            Some((field, text))
        });
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
        let text = self.joiner.push(text);
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
