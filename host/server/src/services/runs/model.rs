//! Execution of a model call: opens the step, makes the call, streams the answer and closes the step.

use std::collections::BTreeMap;

use moxxy_runtime::{self as plugins, CallContext, Completion, models};
use moxxy_secrets::Redactor;
use moxxy_store::{self as store, Tx, events, model_calls, steps};
use moxxy_system::json;
use moxxy_types::{
    error::Result,
    events::{Event, EventContext, Usage},
    ids::{self, ModelCallId, RunId, StepId},
    installations::Installation,
    messages::{Message, Role, Thinking, ToolCall},
    model_calls::Status as CallStatus,
    runs::{Failure as RunFailure, Status, StepUsage},
};
use serde_json::{Value, json};

use crate::services::{
    invocations, messages,
    provider_concurrency::Permit,
    providers,
    runs::{
        call::{self, CONTEXT_TOO_LONG, Opened},
        commit::StepEnd,
        executor::{Outcome, RunExecutor},
        fallback::{self, ModelSelection},
        history::History,
        retry,
        state::StepState,
        tool_names::ToolNameMap,
    },
};

/// Maximum number of tool calls in an answer.
const MAX_PARALLEL_CALLS: usize = 64;
/// Maximum length of a tool call's id, in bytes.
const MAX_CALL_ID_BYTES: usize = 256;
/// Maximum length of a tool call's name, in bytes.
const MAX_CALL_NAME_BYTES: usize = 256;
/// Codes of failures where the service rejected a request before it did any work, or was not reached.
const REJECTED_CODES: [&str; 6] = [
    "provider_authentication",
    "provider_rate_limited",
    "provider_overloaded",
    "provider_rejected_request",
    "provider_unreachable",
    CONTEXT_TOO_LONG,
];
/// Size of a chunk in addition to its text, in bytes.
const CHUNK_OVERHEAD_BYTES: usize = 16;

/// Answer of a model.
#[derive(Debug, Clone, Default)]
struct Answer {
    text: String,
    thinking: Vec<Thinking>,
    calls: BTreeMap<u32, Partial>,
    usage: Option<models::Usage>,
    stop: Option<models::StopReason>,
    bytes: usize,
    used: Usage,
    /// Redactor of the provider's secrets.
    redactor: Redactor,
}

/// Failure of a call, with its resource usage if it started.
struct CallFailure {
    failure: plugins::Failure,
    usage: Option<Usage>,
    /// Whether the service presumably did no work for it.
    is_free: bool,
    /// Whether no part of an answer was passed on.
    is_silent: bool,
}

/// A partially received tool call.
#[derive(Debug, Clone, Default)]
struct Partial {
    id: Option<String>,
    name: String,
    arguments: String,
}

pub(super) async fn run(executor: &RunExecutor<'_>, state: StepState, history: &mut History) -> Result<Outcome> {
    let asked = fallback::select_model(executor, state.settings.clone()).await?;
    let prepared = call::prepare(executor, &state, history, &asked);
    // Cancellable, because it may list the provider's models first.
    let Some(prepared) = executor.control.now.run_until_cancelled(prepared).await else { return Ok(Outcome::Stopped) };
    let call = match prepared? {
        Ok(call) => call,
        Err(failure) => return Ok(Outcome::Failed(failure)),
    };
    // While it waits, nothing is reserved and the timeout of the first token does not run.
    let Some(permit) = acquire(executor, &asked.provider).await? else { return Ok(Outcome::Continue) };
    // The provider may have been changed or removed during the wait.
    if permit.waited && !fallback::is_current(executor, &asked).await? {
        return Ok(Outcome::Continue);
    }
    if call.beginning.is_some() {
        history.forget();
    }
    let (opened, request) = match call::open(executor, &asked, call).await? {
        Ok(opened) => opened,
        Err(failure) => return Ok(Outcome::Failed(failure)),
    };
    let answered = answer(executor, &asked.provider, request, &opened.step).await?;
    drop(permit);
    match answered {
        Ok(answer) => close(executor, history, opened, answer).await,
        Err(_) if executor.control.now.is_cancelled() => Ok(Outcome::Stopped),
        Err(failed_call) => failed(executor, &asked, opened, failed_call).await,
    }
}

/// Waits for a permit of the provider. Returns `None` if the run is to stop instead.
async fn acquire(executor: &RunExecutor<'_>, provider: &Installation) -> Result<Option<Permit>> {
    let most = provider.max_concurrency(executor.runs.config.providers.concurrency);
    tokio::select! {
        biased;
        () = executor.control.step.cancelled() => Ok(None),
        () = executor.control.now.cancelled() => Ok(None),
        () = executor.runs.tasks.shutdown().cancelled() => Ok(None),
        place = executor.runs.components.concurrency.acquire(&executor.run.run_id, &provider.name, most) => place.map(Some),
    }
}

/// Makes the call, and passes on text as it arrives.
async fn answer(
    executor: &RunExecutor<'_>,
    provider: &Installation,
    request: models::Request,
    step: &StepId,
) -> Result<Result<Answer, CallFailure>> {
    let context = providers::context(&executor.runs.components, provider, executor.subject()).await?;
    let context = CallContext { stop: executor.control.now.clone(), waits_for_turn: true, ..context };
    let started = executor.runs.components.plugins.complete(&provider.component.digest, context, request).await;
    match started {
        Ok(completion) => read(executor, provider, completion, step).await,
        Err(failure) => Ok(Err(CallFailure { failure, usage: None, is_free: true, is_silent: true })),
    }
}

async fn read(
    executor: &RunExecutor<'_>,
    provider: &Installation,
    mut completion: Completion,
    step: &StepId,
) -> Result<Result<Answer, CallFailure>> {
    let mut answer = Answer::default();
    while let Some(chunk) = completion.next().await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(failure) => {
                let is_free = answer.bytes == 0 && REJECTED_CODES.contains(&failure.code());
                let is_silent = answer.text.is_empty();
                return Ok(Err(CallFailure { failure, usage: Some(completion.usage()), is_free, is_silent }));
            }
        };
        if let models::Chunk::Text(text) = &chunk {
            executor.control.append(step, text);
            let delta = Event::MessageDelta { step_id: step.clone(), at: answer.text.len(), text: text.clone() };
            executor.runs.events.publish_ephemeral(
                executor.runs.store.clock().timestamp(),
                &executor.subject(),
                &delta,
            )?;
        }
        if let Err(what) = answer.add(chunk, executor.runs.config.plugins.result) {
            let message = format!("`{}` broke its contract: {what}", provider.name);
            let (failure, is_silent) = (plugins::Failure::Trapped { message }, answer.text.is_empty());
            return Ok(Err(CallFailure { failure, usage: None, is_free: false, is_silent }));
        }
    }
    (answer.used, answer.redactor) = (completion.usage(), completion.redactor());
    let cut = || plugins::Failure::refused("stopped", "The call ended without a result");
    if answer.stop.is_some() {
        return Ok(Ok(answer));
    }
    let is_silent = answer.text.is_empty();
    Ok(Err(CallFailure { failure: cut(), usage: Some(answer.used), is_free: false, is_silent }))
}

/// Closes the step and stores the message. Without tool calls this completes the run.
async fn close(executor: &RunExecutor<'_>, history: &mut History, opened: Opened, answer: Answer) -> Result<Outcome> {
    let now = executor.runs.store.clock().timestamp();
    let end = ModelEnd {
        subject: executor.subject(),
        run: executor.run.run_id.clone(),
        stop_reason: answer.stop_reason(),
        tokens: opened.used(answer.usage.as_ref(), answer.bytes),
        resources: answer.used,
        message: answer.into_message(&executor.run, &opened.names, now),
        step: opened.step,
        call: opened.call,
    };
    history.extend([end.message.clone()]);
    if end.message.calls().is_empty() {
        return executor.commit(move |tx| Box::pin(async move { end.write(tx).await })).await.map(|completed| {
            // Otherwise it was stopped meanwhile.
            if completed { Outcome::Completed } else { Outcome::Continue }
        });
    }
    executor.defer(StepEnd::Model(end)).await;
    Ok(Outcome::Continue)
}

/// End of a model call that has an answer.
#[derive(Debug, Clone)]
pub(super) struct ModelEnd {
    subject: EventContext,
    run: RunId,
    step: StepId,
    call: ModelCallId,
    stop_reason: String,
    tokens: StepUsage,
    /// Resources that the component used.
    resources: Usage,
    pub message: Message,
}

impl ModelEnd {
    /// Closes the step and stores the message. Without tool calls this completes the run. Does nothing if the step was
    /// closed meanwhile: the run was stopped, or continues elsewhere. Returns whether the run has completed.
    pub(super) async fn write(self, tx: &mut Tx) -> Result<bool> {
        let Self { subject, run, step, call, stop_reason, tokens, resources, message } = self;
        let end = model_calls::End { status: CallStatus::Completed, usage: Some(&tokens), error: None, next: None };
        model_calls::close(tx, &call, end).await?;
        let output = json!({ "stop_reason": stop_reason });
        if !steps::close(tx, &step, steps::End { status: "completed", output }).await? {
            return Ok(false);
        }
        let responded = Event::ModelResponse {
            step_id: step,
            stop_reason,
            input_tokens: tokens.input_tokens,
            cached_input_tokens: tokens.cached_input_tokens,
            output_tokens: tokens.output_tokens,
            cost: tokens.cost,
            usage: resources,
        };
        events::record(tx, &subject, responded).await?;
        store::messages::insert(tx, &message).await?;
        let event = Event::MessageAssistant {
            message_id: message.id.to_string(),
            content: message.content.clone(),
            tool_calls: json!(message.calls()),
        };
        events::record(tx, &subject, event).await?;
        let completes = message.calls().is_empty()
            && store::runs::end(tx, &run, Status::Completed, Some(&message.content), None).await?;
        if completes {
            events::record(tx, &subject, Event::RunCompleted { output: message.content }).await?;
        }
        Ok(completes)
    }
}

/// Closes the step of a failed call, and returns whether the run retries, switches to another model or fails.
async fn failed(
    executor: &RunExecutor<'_>,
    asked: &ModelSelection,
    opened: Opened,
    failed_call: CallFailure,
) -> Result<Outcome> {
    let CallFailure { failure, usage, is_free, is_silent } = failed_call;
    let Opened { step: step_id, call, .. } = opened;
    let error = RunFailure { code: failure.code().to_owned(), message: failure.message().to_owned() };
    let tries = retry::tries(&asked.earlier).map_or(0, |(tries, _)| tries) + 1;
    let pause = retry::pause(&failure, &step_id, tries, executor.runs.config.runs.retries).filter(|_| is_free);
    let next = asked.next(&failure).filter(|_| is_silent && pause.is_none());
    let goes_on = next.is_some() || (error.code == CONTEXT_TOO_LONG && is_silent);
    let output = match &next {
        Some(next) => json!({ "code": error.code, "message": error.message, "next": next }),
        None => json!(error),
    };
    let (subject, events) = (executor.subject(), failure_events(asked, step_id.clone(), &failure, usage));
    let why = error.clone();
    executor
        .commit(move |tx| {
            Box::pin(async move {
                let unused = is_free.then(StepUsage::default);
                let (error, next) = (Some(&why), next.as_ref());
                let end = model_calls::End { status: CallStatus::Failed, usage: unused.as_ref(), error, next };
                model_calls::close(tx, &call, end).await?;
                steps::close(tx, &step_id, steps::End { status: "failed", output }).await?;
                events::record_all(tx, &subject, events).await
            })
        })
        .await?;
    Ok(match pause {
        Some(pause) => Outcome::Retry(pause),
        // With another model, or with a shorter conversation.
        None if goes_on => Outcome::Continue,
        None => Outcome::Failed(error),
    })
}

/// Returns the events of a failed call.
fn failure_events(
    asked: &ModelSelection,
    step_id: StepId,
    failure: &plugins::Failure,
    usage: Option<Usage>,
) -> Vec<Event> {
    let (code, message) = (failure.code().to_owned(), failure.message().to_owned());
    let (provider_id, model) = (asked.provider.name.clone(), asked.model.clone());
    let limit = invocations::limit_exceeded(&provider_id, failure);
    let broke = matches!(failure, plugins::Failure::Trapped { .. } | plugins::Failure::Limit { .. });
    let broke = broke.then(|| Event::ProviderFailed {
        provider_id: provider_id.clone(),
        code: code.clone(),
        message: message.clone(),
    });
    let failed = Event::ModelFailed { step_id, provider_id, model, code, message, usage };
    std::iter::once(failed).chain(limit).chain(broke).collect()
}

impl Answer {
    /// Adds a chunk. The error says how it violates the contract. `limit` is the maximum size of the answer, in bytes.
    fn add(&mut self, chunk: models::Chunk, limit: usize) -> Result<(), String> {
        self.bytes += CHUNK_OVERHEAD_BYTES;
        match chunk {
            models::Chunk::Text(text) => {
                self.bytes += text.len();
                self.text.push_str(&text);
            }
            // The final `Thinking` chunk contains all of it.
            models::Chunk::ThinkingDelta(_) => {}
            models::Chunk::Thinking(thinking) => {
                self.bytes += thinking.opaque.len() + thinking.text.as_ref().map_or(0, String::len);
                self.thinking.push(messages::thinking(thinking));
            }
            models::Chunk::ToolCall(delta) => self.add_call(delta)?,
            models::Chunk::Usage(usage) => self.usage = Some(usage),
            models::Chunk::Stop(reason) => self.stop = Some(reason),
        }
        if self.bytes > limit { Err(format!("an answer has at most {limit} bytes")) } else { Ok(()) }
    }

    fn add_call(&mut self, delta: models::ToolCallDelta) -> Result<(), String> {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        self.bytes += delta.arguments.len() + length(&delta.id) + length(&delta.name);
        if length(&delta.id) > MAX_CALL_ID_BYTES || length(&delta.name) > MAX_CALL_NAME_BYTES {
            return Err("the id or the name of a tool call is too long".into());
        }
        let call = self.calls.entry(delta.index).or_default();
        call.id = call.id.take().or(delta.id);
        if let Some(name) = delta.name.filter(|_| call.name.is_empty()) {
            call.name = name;
        }
        call.arguments.push_str(&delta.arguments);
        let crowded = self.calls.len() > MAX_PARALLEL_CALLS;
        if crowded { Err(format!("an answer makes at most {MAX_PARALLEL_CALLS} calls")) } else { Ok(()) }
    }

    fn stop_reason(&self) -> String {
        match &self.stop {
            Some(models::StopReason::EndTurn) | None => "end_turn".into(),
            Some(models::StopReason::ToolUse) => "tool_use".into(),
            Some(models::StopReason::MaxTokens) => "max_tokens".into(),
            Some(models::StopReason::Refusal) => "refusal".into(),
            Some(models::StopReason::Other(other)) => other.chars().take(64).collect(),
        }
    }

    fn into_message(self, run: &moxxy_types::runs::Run, names: &ToolNameMap, now: String) -> Message {
        let mut calls: Vec<ToolCall> = Vec::with_capacity(self.calls.len());
        for mut call in self.calls.into_values().map(Partial::into_call) {
            // Ids must be unique, so that each result refers to one call.
            if call.id.is_empty() || calls.iter().any(|other| other.id == call.id) {
                call.id = ids::tool_call();
            }
            call.name = names.from_wire(&call.name);
            // Again, because the escapes in the model's JSON text are decoded now.
            self.redactor.json(&mut call.arguments);
            calls.push(call);
        }
        let mut message = Message::new(run, Role::Assistant, self.text, now);
        message.tool_calls = (!calls.is_empty()).then_some(calls);
        message.thinking = (!self.thinking.is_empty()).then_some(self.thinking);
        message
    }
}

impl Partial {
    fn into_call(self) -> ToolCall {
        let arguments = match serde_json::from_str(if self.arguments.is_empty() { "{}" } else { &self.arguments }) {
            Ok(object @ Value::Object(_)) if json::is_shallow(&object) => object,
            _ => Value::String(self.arguments),
        };
        ToolCall { id: self.id.unwrap_or_else(ids::tool_call), name: self.name, arguments }
    }
}
