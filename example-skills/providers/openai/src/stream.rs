//! What the service streams, as chunks.

use std::collections::VecDeque;

use moxxy_sdk::{
    http::{Events, Response},
    provider::{Chunk, Error, Refusal, Retry, Source, StopReason},
};
use serde_json::Value;

use crate::{
    calls::Calls,
    refusal,
    thought::Thought,
    usage,
    wire::{Choice, Delta, Piece},
};

pub(crate) struct Stream {
    events: Events<Response>,
    calls: Calls,
    thought: Thought,
    finish: Option<String>,
    has_refused: bool,
}

impl Source for Stream {
    fn advance(&mut self, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        let cut = || Error::Transport("the service broke off before its answer was whole".to_owned());
        let event = self.events.next().ok_or_else(cut)??;
        if event.data.trim() == "[DONE]" {
            return self.end(chunks);
        }
        let piece: Piece = serde_json::from_str(&event.data)
            .map_err(|error| Error::Transport(format!("the service sent what makes no sense: {error:.200}")))?;
        let is_error = event.name == "error" || piece.error.as_ref().is_some_and(|error| !error.is_null());
        if is_error {
            return Err(refusal::in_stream(serde_json::from_str(&event.data).unwrap_or_default()));
        }
        // There is one choice, unless the configuration asks for more.
        let choices = piece.choices.unwrap_or_default().into_iter();
        for choice in choices.filter(|choice| choice.index.unwrap_or(0) == 0) {
            self.choice(choice, chunks)?;
        }
        let groq = piece.x_groq.and_then(|mut groq| groq.get_mut("usage").map(Value::take));
        chunks.extend(usage_of(piece.usage.or(groq)));
        Ok(())
    }
}

impl Stream {
    pub(crate) fn open(response: Response) -> Result<Self, Error> {
        let media_type = response.header("Content-Type").unwrap_or_default();
        if media_type.trim_start().to_ascii_lowercase().starts_with("application/json") {
            let refused = Refusal::read(response);
            let is_error = refused.body().get("error").is_some_and(|error| !error.is_null());
            return Err(match is_error {
                true => refusal::in_stream(refused.body().clone()),
                false => Error::Transport("the service does not stream its answer".to_owned()),
            });
        }
        Ok(Self {
            events: response.events(),
            calls: Calls::default(),
            thought: Thought::default(),
            finish: None,
            has_refused: false,
        })
    }

    fn choice(&mut self, choice: Choice, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        self.delta(choice.delta.unwrap_or_default(), chunks)?;
        chunks.extend(usage_of(choice.usage));
        self.finish = choice.finish_reason.filter(|reason| !reason.is_empty()).or(self.finish.take());
        Ok(())
    }

    fn delta(&mut self, delta: Delta, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        let mut thought = delta.reasoning_content.or(delta.reasoning).unwrap_or_default();
        let has_thought = !thought.is_empty();
        for detail in delta.reasoning_details.into_iter().flatten() {
            if !has_thought {
                let text = detail.get("text").or(detail.get("summary")).and_then(Value::as_str);
                thought.push_str(text.unwrap_or_default());
            }
            self.thought.detail(detail)?;
        }
        chunks.extend(self.thought.say(thought)?);
        for (is_thought, text) in delta.content.map(Delta::texts).unwrap_or_default() {
            match is_thought {
                true => chunks.extend(self.thought.say(text)?),
                false => self.say(text, chunks),
            }
        }
        if let Some(refusal) = delta.refusal.filter(|refusal| !refusal.is_empty()) {
            self.has_refused = true;
            self.say(refusal, chunks);
        }
        for call in delta.tool_calls.into_iter().flatten() {
            chunks.extend(self.thought.finish());
            chunks.extend(self.calls.add(call)?);
        }
        Ok(())
    }

    fn say(&mut self, text: String, chunks: &mut VecDeque<Chunk>) {
        if !text.is_empty() {
            chunks.extend(self.thought.finish());
            chunks.push_back(Chunk::Text(text));
        }
    }

    fn end(&mut self, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        if self.calls.has_nameless() {
            return Err(Error::Transport("the service calls a tool without a name".to_owned()));
        }
        chunks.extend(self.thought.finish());
        chunks.push_back(Chunk::Stop(self.stop_reason()?));
        Ok(())
    }

    fn stop_reason(&mut self) -> Result<StopReason, Error> {
        let without = || Error::Transport("the service ended its answer without saying why".to_owned());
        let reason = self.finish.take().ok_or_else(without)?;
        Ok(match &*reason {
            "content_filter" => StopReason::Refusal,
            "length" => StopReason::MaxTokens,
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

fn usage_of(usage: Option<Value>) -> Option<Chunk> {
    usage.filter(Value::is_object).map(|usage| Chunk::Usage(usage::read(&usage)))
}
