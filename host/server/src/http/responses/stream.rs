//! Streamed response: typed server-sent events, each with a number of its own.

use std::{collections::VecDeque, convert::Infallible};

use axum::response::{Response, sse::Event};
use futures_util::stream;
use moxxy_system::fair_semaphore::FairPermit;
use moxxy_types::error::Error;
use serde_json::{Value, json};

use super::response::{Call, Item, ModelResponse, Part};
use crate::{
    http::{
        api::answer::{ApiError, extend},
        events::server_sent,
    },
    services::{
        chat::{self, ChatRun, OutputStream},
        runs::Runs,
    },
};

/// Response that is being streamed.
pub(super) struct ResponseStream {
    runs: Runs,
    /// `None` after the end.
    chat_run: Option<ChatRun>,
    output: OutputStream,
    /// The response as it was at the beginning.
    response: ModelResponse,
    text: String,
    ready: VecDeque<Value>,
    sequence: u64,
    _place: FairPermit<String>,
}

impl ResponseStream {
    pub(super) fn new(
        runs: Runs,
        chat_run: ChatRun,
        output: OutputStream,
        instructions: Option<String>,
        place: FairPermit<String>,
    ) -> Self {
        let response = ModelResponse::new(&chat_run.run).with_instructions(instructions);
        let mut stream = Self {
            runs,
            chat_run: Some(chat_run),
            output,
            response,
            text: String::new(),
            ready: VecDeque::new(),
            sequence: 0,
            _place: place,
        };
        stream.begin();
        stream
    }

    pub(super) fn into_response(self) -> Response {
        let events = stream::unfold(self, |mut stream| async move {
            let event = stream.next().await?;
            Some((Ok::<_, Infallible>(event), stream))
        });
        server_sent(events)
    }

    async fn next(&mut self) -> Option<Event> {
        if self.ready.is_empty() {
            self.chat_run.as_ref()?;
            match self.output.next().await {
                Ok(Some(words)) => {
                    self.text.push_str(&words);
                    self.push_text(json!({ "type": "response.output_text.delta", "delta": words, "logprobs": [] }));
                }
                Ok(None) => self.end().await,
                Err(error) => self.fail(error),
            }
        }
        let event = self.ready.pop_front()?;
        let name = event.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Event::default().event(name).data(event.to_string()))
    }

    fn begin(&mut self) {
        let (response, item) = (json!(self.response), self.item("in_progress", Vec::new()));
        self.push(json!({ "type": "response.created", "response": response }));
        self.push(json!({ "type": "response.in_progress", "response": response }));
        self.push(json!({ "type": "response.output_item.added", "output_index": 0, "item": item }));
        self.push_text(json!({ "type": "response.content_part.added", "part": Part::new(String::new()) }));
    }

    /// Ends the stream with what became of the run.
    async fn end(&mut self) {
        let Some(chat_run) = self.chat_run.take() else { return };
        let run = &chat_run.run;
        let answer = chat::answer(&self.runs, &run.agent_id, &run.run_id).await;
        chat_run.end();
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.fail(error),
        };
        let text = std::mem::take(&mut self.text);
        self.push_text(json!({ "type": "response.output_text.done", "text": text, "logprobs": [] }));
        let part = Part::new(text);
        self.push_text(json!({ "type": "response.content_part.done", "part": part }));
        let calls: Vec<_> = Call::list(&self.response.id, &answer.calls).collect();
        let response = self.response.clone().completed(answer);
        let (status, name) = match response.is_complete() {
            true => ("completed", "response.completed"),
            false => ("incomplete", "response.incomplete"),
        };
        let item = self.item(status, vec![part]);
        self.push(json!({ "type": "response.output_item.done", "output_index": 0, "item": item }));
        for (index, call) in calls.iter().enumerate() {
            self.push_call(index + 1, call);
        }
        self.push(json!({ "type": name, "response": response }));
    }

    fn push_call(&mut self, index: usize, call: &Call) {
        let Call { id, name, arguments, .. } = call;
        self.push(json!({ "type": "response.output_item.added", "output_index": index, "item": call }));
        self.push(json!({
            "type": "response.function_call_arguments.delta", "item_id": id, "output_index": index, "delta": arguments,
        }));
        self.push(json!({
            "type": "response.function_call_arguments.done", "item_id": id, "output_index": index,
            "arguments": arguments, "name": name,
        }));
        self.push(json!({ "type": "response.output_item.done", "output_index": index, "item": call }));
    }

    fn fail(&mut self, error: Error) {
        self.chat_run = None;
        let response = self.response.clone().failed(&ApiError::from(error));
        self.push(json!({ "type": "response.failed", "response": response }));
    }

    fn item(&self, status: &'static str, content: Vec<Part>) -> Item {
        Item::new(&self.response.id, status, content)
    }

    /// Adds an event about the text.
    fn push_text(&mut self, mut event: Value) {
        let id = Item::id(&self.response.id);
        extend(&mut event, json!({ "item_id": id, "output_index": 0, "content_index": 0 }));
        self.push(event);
    }

    fn push(&mut self, mut event: Value) {
        extend(&mut event, json!({ "sequence_number": self.sequence }));
        self.sequence += 1;
        self.ready.push_back(event);
    }
}
