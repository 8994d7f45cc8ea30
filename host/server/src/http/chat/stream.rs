//! Streamed answer, as server-sent events.

use std::convert::Infallible;

use axum::response::{Response, sse::Event};
use futures_util::stream;
use moxxy_system::fair_semaphore::FairPermit;
use moxxy_types::error::Error;
use serde_json::{Value, json};

use super::{client_tools, created, finish};
use crate::http::chat::completion::Tokens;
use crate::{
    http::{api::answer::ApiError, events::server_sent},
    services::{
        chat::{self, ChatRun, OutputStream},
        runs::Runs,
    },
};

/// Options of a streamed answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamFormat {
    /// Whether the last chunk reports the usage.
    pub usage: bool,
}

/// Answer that is being streamed.
pub(super) struct CompletionStream {
    pub runs: Runs,
    pub chat_run: ChatRun,
    pub output: OutputStream,
    pub format: StreamFormat,
    pub _place: FairPermit<String>,
}

/// Next event of the stream.
enum Stage {
    Begin(CompletionStream),
    Speak(CompletionStream),
    Called(Event, Box<Stage>),
    Used(Value),
    Done,
    Over,
}

impl CompletionStream {
    pub(super) fn into_response(self) -> Response {
        let events = stream::unfold(Stage::Begin(self), |stage| async move {
            let (event, next) = stage.step().await?;
            Some((Ok::<_, Infallible>(event), next))
        });
        server_sent(events)
    }

    fn chunk(&self, choices: Value) -> Value {
        let run = &self.chat_run.run;
        let mut chunk = json!({
            "id": run.run_id, "object": "chat.completion.chunk", "created": created(run), "model": run.agent_id,
            "choices": choices,
        });
        if let Some(fields) = chunk.as_object_mut().filter(|_| self.format.usage) {
            fields.insert("usage".into(), Value::Null);
        }
        chunk
    }

    fn delta(&self, delta: Value, finish: Option<&str>) -> Event {
        let choice = json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish });
        data(&self.chunk(json!([choice])))
    }

    /// Returns the event for the end of the run, whether it succeeded or failed, and the next stage.
    async fn end(self) -> (Event, Stage) {
        let run = &self.chat_run.run;
        let answer = match chat::answer(&self.runs, &run.agent_id, &run.run_id).await {
            Ok(answer) => answer,
            Err(error) => {
                self.chat_run.end();
                return (error_event(error), Stage::Over);
            }
        };
        let last = self.delta(json!({}), Some(finish(&answer)));
        let called = (!answer.calls.is_empty()).then(|| {
            let mut calls = client_tools::render(&answer.calls);
            for (index, call) in calls.iter_mut().filter_map(Value::as_object_mut).enumerate() {
                call.insert("index".into(), json!(index));
            }
            self.delta(json!({ "tool_calls": calls }), None)
        });
        let next = if self.format.usage {
            let mut used = self.chunk(json!([]));
            if let Some(fields) = used.as_object_mut() {
                fields.insert("usage".into(), json!(Tokens::from(answer.usage)));
            }
            Stage::Used(used)
        } else {
            Stage::Done
        };
        self.chat_run.end();
        match called {
            Some(called) => (called, Stage::Called(last, Box::new(next))),
            None => (last, next),
        }
    }
}

impl Stage {
    async fn step(self) -> Option<(Event, Self)> {
        Some(match self {
            Self::Begin(stream) => {
                (stream.delta(json!({ "role": "assistant", "content": "" }), None), Self::Speak(stream))
            }
            Self::Speak(mut stream) => match stream.output.next().await {
                Ok(Some(words)) => (stream.delta(json!({ "content": words }), None), Self::Speak(stream)),
                Ok(None) => stream.end().await,
                Err(error) => (error_event(error), Self::Over),
            },
            Self::Called(last, next) => (last, *next),
            Self::Used(used) => (data(&used), Self::Done),
            Self::Done => (Event::default().data("[DONE]"), Self::Over),
            Self::Over => return None,
        })
    }
}

/// Renders an error in the format that clients of OpenAI's API expect within a stream.
fn error_event(error: Error) -> Event {
    data(&json!({ "error": ApiError::from(error).as_openai() }))
}

fn data(value: &Value) -> Event {
    Event::default().data(value.to_string())
}
