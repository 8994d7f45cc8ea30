//! Stream of an agent's output in a run: live deltas, and missed parts from the message itself.

use std::cmp::Ordering;

use moxxy_store::events::Subscription;
use moxxy_types::{
    error::{Error, Result},
    events::{Filter, LoggedEvent},
    ids::RunId,
    runs::RunOptions,
    tokens::Principal,
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::services::{
    chat::{self, ChatRun, FINAL_EVENTS, MESSAGE_SEPARATOR, Request, answer::shutting_down, stop_words::StopWords},
    runs::Runs,
};

/// Output text of a run, in order and without gaps. The output of a run with a schema comes as a whole, once it is valid.
#[derive(Debug)]
pub struct OutputStream {
    runs: Runs,
    run: RunId,
    subscription: Subscription,
    position: StreamPosition,
    stop: StopWords,
    /// Whether the run has a schema.
    is_whole: bool,
    is_over: bool,
}

/// Progress in the output: the text that was passed on.
#[derive(Debug, Default)]
struct StreamPosition {
    /// The model call whose message is being streamed.
    step: String,
    /// Length of the text passed on from this message, in bytes.
    bytes: usize,
    /// The last completed model call. Step ids increase, so deltas of steps up to it are outdated.
    last_completed: String,
    /// Whether text of an earlier message was passed on, so that a separator is needed.
    needs_separator: bool,
}

#[derive(Deserialize)]
struct Delta {
    step_id: String,
    at: usize,
    text: String,
}

#[derive(Deserialize)]
struct Response {
    step_id: String,
}

#[derive(Deserialize)]
struct CompleteMessage {
    content: String,
}

#[derive(Deserialize)]
struct Completed {
    output: String,
}

impl OutputStream {
    /// Starts a run, or joins one, and subscribes to its output.
    pub async fn start(runs: &Runs, principal: Principal, request: Request) -> Result<(ChatRun, Self)> {
        let (id, options) = (RunId::random(), request.conversation.options.clone());
        // Subscribes before the run exists, so that no output is missed.
        let output = Self::new(runs, &id, false, &options).await?;
        let chat_run = chat::start(runs, principal, id, request).await?;
        match chat_run.before {
            true => {
                let output = Self::new(runs, &chat_run.run.run_id, true, &options).await?;
                Ok((chat_run, output))
            }
            false => Ok((chat_run, output)),
        }
    }

    /// Subscribes to the output of a run with these options, from its beginning if that may have been missed.
    async fn new(runs: &Runs, run: &RunId, has_begun: bool, options: &RunOptions) -> Result<Self> {
        let is_whole = options.output_schema.is_some();
        let pieces = ["message.delta", "model.response", "message.assistant"].into_iter().filter(|_| !is_whole);
        let types = pieces.chain(FINAL_EVENTS);
        let filter =
            Filter { runs: vec![run.to_string()], types: types.map(str::to_owned).collect(), ..Filter::default() };
        let subscription = Subscription::new(&runs.events, &runs.store, filter, has_begun.then_some(0)).await?;
        let stop = StopWords::new(if is_whole { Vec::new() } else { options.stop.clone() });
        let (runs, run, position) = (runs.clone(), run.clone(), StreamPosition::default());
        Ok(Self { runs, run, subscription, position, stop, is_whole, is_over: false })
    }

    /// Returns the next text, or `None` when the run has ended.
    pub async fn next(&mut self) -> Result<Option<String>> {
        while !self.is_over {
            let mut words = self.next_of_run().await?.map(|words| self.stop.pass(&words)).unwrap_or_default();
            if self.is_over {
                words.push_str(&self.stop.rest());
            }
            if !words.is_empty() {
                return Ok(Some(words));
            }
        }
        Ok(None)
    }

    /// Returns the next text. The end of the run may have none.
    async fn next_of_run(&mut self) -> Result<Option<String>> {
        loop {
            let event = tokio::select! {
                event = self.subscription.next() => event?,
                () = self.runs.tasks.shutdown().cancelled() => None,
            };
            let event = event.ok_or_else(shutting_down)?;
            let words = match &*event.envelope.event_type {
                "message.delta" => {
                    let live_output = |step: &str, from| self.runs.scheduler.live_output(&self.run, step, from);
                    self.position.on_delta(payload(&event)?, live_output)
                }
                "model.response" => self.position.answered(payload(&event)?),
                "message.assistant" => self.position.message(payload(&event)?),
                kind if FINAL_EVENTS.contains(&kind) => {
                    self.is_over = true;
                    let is_output = self.is_whole && kind == "run.completed";
                    return is_output.then(|| Ok(payload::<Completed>(&event)?.output)).transpose();
                }
                // A `stream.gap` event, which belongs to no run.
                _ => None,
            };
            if words.is_some() {
                return Ok(words);
            }
        }
    }
}

impl StreamPosition {
    /// Handles a delta. Missed text before it comes from `said`, or else later from the message.
    fn on_delta(&mut self, delta: Delta, said: impl Fn(&str, usize) -> Option<String>) -> Option<String> {
        if delta.step_id <= self.last_completed {
            return None;
        }
        if delta.step_id != self.step {
            // An interrupted call has no message.
            self.close();
            self.step = delta.step_id;
        }
        match delta.at.cmp(&self.bytes) {
            Ordering::Equal => self.pass_on(&delta.text),
            Ordering::Less => None,
            Ordering::Greater => said(&self.step, self.bytes).and_then(|missed| self.pass_on(&missed)),
        }
    }

    fn answered(&mut self, response: Response) -> Option<String> {
        if response.step_id != self.step {
            self.close();
        }
        self.last_completed = response.step_id;
        None
    }

    fn message(&mut self, message: CompleteMessage) -> Option<String> {
        let rest = message.content.get(self.bytes..).and_then(|rest| self.pass_on(rest));
        self.close();
        rest
    }

    fn pass_on(&mut self, text: &str) -> Option<String> {
        if text.is_empty() {
            return None;
        }
        let between = if self.bytes == 0 && self.needs_separator { MESSAGE_SEPARATOR } else { "" };
        self.bytes += text.len();
        Some(format!("{between}{text}"))
    }

    fn close(&mut self) {
        self.needs_separator |= self.bytes > 0;
        self.bytes = 0;
    }
}

fn payload<T: DeserializeOwned>(event: &LoggedEvent) -> Result<T> {
    serde_json::from_str(event.envelope.payload.get()).map_err(Error::internal)
}
