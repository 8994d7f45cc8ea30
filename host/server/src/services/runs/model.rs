//! Execution of a model call: opens the step, makes the call, streams the answer and closes the step.

use moxxy_runtime::{self as plugins, CallContext, models};
use moxxy_store::{self as store, Tx, events, learned_models, model_calls, steps};
use moxxy_types::{
    error::Result,
    events::{Event, EventContext, Usage},
    ids::{ModelCallId, RunId, StepId},
    installations::Installation,
    messages::{Message, Partial, Role},
    model_calls::{ModelCall, Status as CallStatus},
    runs::{Failure as RunFailure, Run, StepUsage},
};
use serde_json::json;

use crate::services::{
    completion::{self, CallFailure, answer::Answer, learned, retry, with_hint},
    invocations,
    provider_concurrency::Permit,
    runs::{
        call::{self, CONTEXT_TOO_LONG, EMPTY_ANSWER, MODEL_ADAPTED, OUTPUT_LIMIT, Opened},
        commit::StepEnd,
        executor::{Outcome, RunExecutor},
        fallback::{self, ModelSelection},
        history::History,
        output::{self, Conclusion},
        state::StepState,
    },
};

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
        Ok(answer) => match unusable(&answer) {
            None => close(executor, history, opened, answer).await,
            Some(failure) => {
                let resources = Some(answer.resources);
                failed(executor, history, &asked, opened, CallFailure { failure, answer, resources }).await
            }
        },
        Err(_) if executor.control.now.is_cancelled() => Ok(Outcome::Stopped),
        Err(failed_call) => failed(executor, history, &asked, opened, *failed_call).await,
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
) -> Result<Result<Answer, Box<CallFailure>>> {
    let context = completion::context(&executor.runs.components, provider, executor.subject()).await?;
    let context = CallContext { stop: executor.control.now.clone(), waits_for_turn: true, ..context };
    completion::complete(&executor.runs.components, provider, context, request, |at, text| {
        executor.control.append(step, text);
        let delta = Event::MessageDelta { step_id: step.clone(), at, text: text.to_owned() };
        let now = executor.runs.store.clock().timestamp();
        executor.runs.events.publish_ephemeral(now, &executor.subject(), &delta)
    })
    .await
}

/// Returns the failure that an answer without text and tool calls is.
fn unusable(answer: &Answer) -> Option<plugins::Failure> {
    if !answer.is_empty() {
        return None;
    }
    let reasoning = answer.usage.map_or(0, |usage| usage.reasoning_tokens);
    let (code, message) = match &answer.stop {
        Some(models::StopReason::Refusal) => ("content_refused", "The model refused to answer".to_owned()),
        Some(models::StopReason::MaxTokens) => (
            OUTPUT_LIMIT,
            format!(
                "The model used up its output tokens before it answered ({reasoning} of them to reason); to allow more, \
                 raise `max_output_tokens` in `[runs]` of the configuration, or lower `reasoning_effort` in the agent's \
                 options"
            ),
        ),
        _ => (
            EMPTY_ANSWER,
            format!(
                "The model ended its answer without text and without a tool call (stop reason `{}`, {reasoning} tokens of \
                 reasoning); try another model, or a persona that asks for an answer",
                answer.stop_reason()
            ),
        ),
    };
    Some(plugins::Failure::component_error(code, message))
}

/// Closes the step and stores the message. Without tool calls this ends the run, or the model is told what is wrong.
async fn close(executor: &RunExecutor<'_>, history: &mut History, opened: Opened, answer: Answer) -> Result<Outcome> {
    let conclusion = output::conclude(executor, &answer).await?;
    let now = executor.runs.store.clock().timestamp();
    let cut_again = answer.is_cut() && answer.has_calls() && was_cut(history, &executor.run.run_id);
    let limit = opened.output_limit();
    let end = ModelEnd {
        subject: executor.subject(),
        run: executor.run.clone(),
        stop_reason: answer.stop_reason(),
        tokens: opened.used(answer.usage.as_ref(), answer.written_bytes()),
        resources: answer.resources,
        message: answer.into_message(&executor.run, |name| opened.names.from_wire(name), now),
        step: opened.step,
        call: opened.call,
        conclusion,
    };
    history.extend([end.message.clone()]);
    if let Some(conclusion) = &end.conclusion {
        history.extend(conclusion.repair().cloned());
        return executor.commit(move |tx| Box::pin(async move { end.write(tx).await })).await.map(|ended| {
            // Otherwise it was stopped meanwhile, or the model is asked again.
            if ended { Outcome::Ended } else { Outcome::Continue }
        });
    }
    executor.defer(StepEnd::Model(Box::new(end))).await;
    if cut_again {
        let message = format!(
            "The model's tool calls were cut off at the limit of {limit} output tokens, twice in a row; to allow more, \
             raise `max_output_tokens` in `[runs]` of the configuration"
        );
        return Ok(Outcome::Failed(RunFailure { code: OUTPUT_LIMIT.into(), message }));
    }
    Ok(Outcome::Continue)
}

/// Whether the last answer of the run was cut off at its limit of output tokens.
fn was_cut(history: &History, run: &RunId) -> bool {
    let last = history.messages().iter().rfind(|message| message.role == Role::Assistant);
    last.is_some_and(|last| last.run_id == *run && last.partial == Some(Partial::OutputLimit))
}

/// End of a model call that has an answer.
#[derive(Debug, Clone)]
pub(super) struct ModelEnd {
    subject: EventContext,
    run: Run,
    step: StepId,
    call: ModelCallId,
    stop_reason: String,
    tokens: StepUsage,
    /// Resources that the component used.
    resources: Usage,
    pub message: Message,
    /// `None` if the message has tool calls.
    conclusion: Option<Conclusion>,
}

impl ModelEnd {
    /// Closes the step and stores the message and its conclusion. Does nothing if the step was closed meanwhile: the run
    /// was stopped, or continues elsewhere. Returns whether the run has ended.
    pub(super) async fn write(self, tx: &mut Tx) -> Result<bool> {
        let Self { subject, run, step, call, stop_reason, tokens, resources, message, conclusion } = self;
        let status = CallStatus::Completed;
        let end = model_calls::End { status, usage: Some(&tokens), answer_bytes: 0, error: None, next: None };
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
            cache_write_tokens: tokens.cache_write_tokens,
            output_tokens: tokens.output_tokens,
            is_estimated: tokens.is_estimated,
            cost: tokens.cost,
            usage: resources,
        };
        events::record(tx, &subject, responded).await?;
        record_message(tx, &subject, &message).await?;
        match conclusion {
            Some(conclusion) => conclusion.write(tx, &run, message.partial.is_some()).await,
            None => Ok(false),
        }
    }
}

/// Stores a message of the model.
pub(super) async fn record_message(tx: &mut Tx, subject: &EventContext, message: &Message) -> Result<()> {
    store::messages::insert(tx, message).await?;
    let event = Event::MessageAssistant {
        message_id: message.id.to_string(),
        content: message.content.clone(),
        tool_calls: json!(message.calls()),
        partial: message.partial.map(|partial| partial.into_str()),
    };
    events::record(tx, subject, event).await
}

/// Closes the step of a failed call, and returns whether the run retries, switches to another model or fails. What the
/// model said is kept.
async fn failed(
    executor: &RunExecutor<'_>,
    history: &mut History,
    asked: &ModelSelection,
    opened: Opened,
    failed_call: CallFailure,
) -> Result<Outcome> {
    let is_free = failed_call.is_free();
    let CallFailure { failure, answer, resources } = failed_call;
    let Opened { step: step_id, call, .. } = opened.clone();
    let known = learned::learn(&asked.known, &failure, opened.limits);
    let code = if known.is_some() { MODEL_ADAPTED } else { failure.code() };
    let error = RunFailure { code: code.to_owned(), message: with_hint(&failure, &asked.provider, &asked.model) };
    let tries = retry::tries(&asked.earlier).map_or(0, |(tries, _)| tries) + 1;
    let pause = retry::pause(&failure, &step_id, tries, executor.runs.config.runs.retries);
    let mut earlier = call::since_completed(&asked.earlier).filter_map(ModelCall::code);
    let is_asked_again = call::is_without_answer(code) && !earlier.any(call::is_without_answer);
    let retries = pause.is_some() || known.is_some() || is_asked_again;
    let next = asked.next(&failure).filter(|_| !retries);
    let goes_on = retries || next.is_some() || code == CONTEXT_TOO_LONG;
    let output = match &next {
        Some(next) => json!({ "code": error.code, "message": error.message, "next": next }),
        None => json!(error),
    };
    let usage = match answer.usage {
        Some(usage) => Some(opened.used_before_failure(&usage, answer.written_bytes())),
        None => is_free.then(StepUsage::default),
    };
    let (answer_bytes, now) = (answer.written_bytes() as u64, executor.runs.store.clock().timestamp());
    let said = answer.into_partial_message(&executor.run, Partial::Failed, now);
    history.extend(said.clone());
    let (subject, events) = (executor.subject(), failure_events(asked, step_id.clone(), &failure, &error, resources));
    let (why, provider, model) = (error.clone(), asked.provider.clone(), asked.model.clone());
    executor
        .commit(move |tx| {
            Box::pin(async move {
                let (error, next) = (Some(&why), next.as_ref());
                let status = CallStatus::Failed;
                let end = model_calls::End { status, usage: usage.as_ref(), answer_bytes, error, next };
                model_calls::close(tx, &call, end).await?;
                if steps::close(tx, &step_id, steps::End { status: "failed", output }).await?
                    && let Some(said) = said
                {
                    record_message(tx, &subject, &said).await?;
                }
                if let Some(known) = known {
                    learned_models::put(tx, &provider, &model, &known).await?;
                }
                events::record_all(tx, &subject, events).await
            })
        })
        .await?;
    Ok(match pause {
        Some(pause) => Outcome::Retry(pause),
        // Again, with another model, or with a shorter conversation.
        None if goes_on => Outcome::Continue,
        None => Outcome::Failed(error),
    })
}

/// Returns the events of a failed call.
fn failure_events(
    asked: &ModelSelection,
    step_id: StepId,
    failure: &plugins::Failure,
    error: &RunFailure,
    usage: Option<Usage>,
) -> Vec<Event> {
    let RunFailure { code, message } = error.clone();
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
