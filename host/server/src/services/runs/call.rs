//! Preparation of a model call: its request, and the step that reserves its maximum usage.

use moxxy_runtime::models;
use moxxy_store::{Tx, events, model_calls, steps, usage};
use moxxy_types::{
    agents::{AgentKey, ModelOptions, Settings},
    clock, digest,
    error::{Error, Result},
    events::Event,
    ids::{ModelCallId, Name, RunId, StepId},
    model_calls::{ModelCall, NewModelCall, Status},
    money::Price,
    runs::{Failure, RunOptions, RunUsage, StepKind, StepUsage},
};
use serde_json::json;

use crate::services::{
    completion::{
        budget::{Budget, Demand, Reservation},
        retry,
    },
    models as listed,
    models::ModelInfo,
    runs::{
        compaction,
        executor::RunExecutor,
        fallback::ModelSelection,
        history::{Beginning, History},
        output,
        state::StepState,
        tool_names::ToolNameMap,
    },
};

/// Error code of a provider for a conversation that does not fit into the context window.
pub(super) const CONTEXT_TOO_LONG: &str = "context_too_long";
/// Code of a failure from which the provider learned how to call the model.
pub(super) const MODEL_ADAPTED: &str = "model_adapted";
/// Share of a context window that is kept for the answer if the window is small, as its divisor.
const ANSWER_SHARE: u32 = 4;
/// Code of the failure of an answer that has neither text nor tool calls.
pub(super) const EMPTY_ANSWER: &str = "empty_answer";
/// Code of the failure of answers that are cut off at their limit of output tokens.
pub(super) const OUTPUT_LIMIT: &str = "output_limit";
/// Maximum number of retries of a conversation that does not fit, each with half of it.
const RETRIES: usize = 3;
/// Assumed context window of a model whose provider does not tell it, in tokens.
const UNKNOWN_WINDOW_TOKENS: u32 = 256 * 1024;

/// A prepared call.
#[derive(Clone)]
pub(super) struct Call {
    request: models::Request,
    left_out: usize,
    shortened: usize,
    /// Where the session's prompt begins from now on, if that changes.
    pub beginning: Option<Beginning>,
    /// Size of the request, in bytes.
    bytes: u64,
    demand: Demand,
    limits: (Option<u32>, u32),
    names: ToolNameMap,
    again: Option<RetryInfo>,
}

/// Information about a retry.
#[derive(Clone)]
struct RetryInfo {
    /// Number of failed attempts; `reason` is the code of the last failure.
    attempt: usize,
    reason: String,
    /// The failed model, if the retry uses another one.
    instead_of: Option<String>,
}

/// A call whose step is open.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub step: StepId,
    pub call: ModelCallId,
    price: Option<Price>,
    /// Size of the request, in bytes.
    bytes: u64,
    reserved: Reservation,
    /// Context window, if it is known, and limit of output tokens.
    pub limits: (Option<u32>, u32),
    /// Names of the offered tools.
    pub names: ToolNameMap,
}

/// Calls of the run that did not fit into the context window, since the last one that did.
struct ContextOverflow {
    tries: usize,
    /// Size of the smallest request that ever failed so, in bytes.
    bytes: Option<u64>,
    message: String,
}

/// Prepares the next call, or returns the failure if the conversation cannot be made to fit.
pub(super) async fn prepare(
    executor: &RunExecutor<'_>,
    state: &StepState,
    history: &History,
    asked: &ModelSelection,
) -> Result<Result<Call, Failure>> {
    let ModelSelection { provider, model, earlier, known, .. } = asked;
    let (settings, schema) = (&state.settings, executor.run.options.output_schema.as_ref());
    let about = listed::info(&executor.runs.components, provider, model).await.with_learned(known);
    let too_long = ContextOverflow::from_calls(earlier);
    let output = output(&about, executor.runs.config.runs.max_output_tokens);
    let mut request = models::Request {
        model: model.clone(),
        system: settings.persona.clone(),
        messages: Vec::new(),
        tools: match about.calls_tools {
            Some(false) => Vec::new(),
            _ => state.tools().offered(&state.policy),
        },
        options: options(settings, &executor.run.options)?,
        max_output_tokens: None,
        response_schema: output::response_schema(schema),
        idempotency_key: None,
        adaptations: known.adaptations.clone(),
    };
    let names = ToolNameMap::new(request.tools.iter().map(|tool| tool.name.as_str()));
    let instruction = schema.map(output::instruction);
    let frame = compaction::frame(&request) + instruction.as_ref().map_or(0, |text| text.len() as u64);
    let window = about.context_window.unwrap_or(UNKNOWN_WINDOW_TOKENS).saturating_sub(output);
    let window = compaction::bytes_for_tokens(window.into());
    let room = too_long.bytes.map_or(window, |bytes| window.min(bytes / 2)).saturating_sub(frame);
    let context = compaction::fit(history.messages(), &executor.run.run_id, room, history.left_out())?;
    request.messages = context.messages;
    let bytes = frame + compaction::size(&request.messages);
    if too_long.tries > RETRIES || (too_long.tries > 0 && too_long.bytes.is_some_and(|before| bytes >= before)) {
        return Ok(Err(Failure { code: CONTEXT_TOO_LONG.into(), message: too_long.message }));
    }
    names.rename_request(&mut request);
    if let Some(instruction) = instruction {
        output::instruct(&mut request.messages, instruction);
    }
    let model = format!("{}/{model}", provider.name);
    let demand = Demand { input: compaction::most_tokens(bytes), output, price: about.price, model };
    let (left_out, shortened) = (context.left_out, context.shortened);
    let limits = (about.context_window, output);
    let beginning = context.begins_at.and_then(|index| history.beginning(index));
    let again = RetryInfo::new(asked, &too_long);
    Ok(Ok(Call { request, left_out, shortened, beginning, bytes, demand, limits, names, again }))
}

/// Returns the options of an agent and of its run for a request.
fn options(settings: &Settings, of_run: &RunOptions) -> Result<models::ModelOptions> {
    let ModelOptions { reasoning_effort, thinking, top_p, mut stop, extra } = settings.options.clone();
    stop.extend(of_run.stop.iter().cloned());
    let extra = (!extra.is_empty()).then(|| serde_json::to_string(&extra)).transpose().map_err(Error::internal)?;
    Ok(models::ModelOptions {
        temperature: settings.temperature.map(|temperature| temperature as f32),
        top_p: top_p.map(|top_p| top_p as f32),
        stop,
        reasoning_effort,
        thinking,
        extra,
    })
}

/// Returns the maximum number of output tokens: at most a quarter of the context window, to leave room for the
/// conversation.
fn output(about: &ModelInfo, wanted: u32) -> u32 {
    let window = about.context_window.map(|window| (window / ANSWER_SHARE).max(1));
    [about.max_output_tokens, window].into_iter().flatten().fold(wanted, u32::min)
}

/// Opens the step of a call and returns the request, if the limits allow it.
pub(super) async fn open(
    executor: &RunExecutor<'_>,
    asked: &ModelSelection,
    call: Call,
) -> Result<Result<(Opened, models::Request), Failure>> {
    let (run, subject) = (executor.run.clone(), executor.subject());
    let (provider, budget) = (asked.provider.name.clone(), Budget::new(&asked.settings.limits, &executor.runs.config));
    let content = serde_json::to_vec(&call.request).map_err(Error::internal)?;
    // A request that is repeated because its answer was empty is another one.
    let repetition = since_completed(&asked.earlier).filter(|call| call.code().is_some_and(is_without_answer)).count();
    executor
        .commit(move |tx| {
            Box::pin(async move {
                let Call { mut request, left_out, shortened, beginning, bytes, demand, limits, names, again } = call;
                usage::flush(tx).await?;
                let spent = usage::of_run(tx, &run.run_id).await?;
                let today = if budget.has_daily_limits() { today(tx, run.agent).await? } else { RunUsage::default() };
                let reserved = match budget.admit(&demand, &spent, &today) {
                    Ok(reserved) => reserved,
                    Err(failure) => return Ok(Err(failure)),
                };
                if let Some(beginning) = beginning {
                    beginning.store(tx).await?;
                }
                let key = idempotency_key(&run.run_id, &provider, &reserved, &content, repetition);
                request.max_output_tokens = Some(reserved.output);
                request.idempotency_key = Some(key.clone());
                let (messages, tools, model) = (request.messages.len(), request.tools.len(), request.model.clone());
                let new = NewModelCall {
                    agent: run.agent,
                    run: Some(run.run_id.clone()),
                    provider: provider.clone(),
                    model: model.clone(),
                    bytes,
                    reserved_tokens: reserved.tokens(),
                    reserved_cost: reserved.cost.unwrap_or_default(),
                    price: demand.price,
                };
                let call = model_calls::open(tx, &new).await?;
                let input = json!({
                    "provider": provider, "messages": messages, "tools": tools, "left_out": left_out,
                    "shortened": shortened, "bytes": bytes, "max_output_tokens": reserved.output, "idempotency_key": key,
                });
                let step = steps::open(tx, &run, StepKind::Model, &model, &input, Some(&call)).await?;
                if let Some(RetryInfo { attempt, reason, instead_of }) = again {
                    let (step_id, provider_id, model) = (step.clone(), provider.clone(), model.clone());
                    let retried = Event::ModelRetried { step_id, provider_id, model, reason, attempt, instead_of };
                    events::record(tx, &subject, retried).await?;
                }
                let requested = Event::ModelRequest {
                    step_id: step.clone(),
                    provider_id: provider,
                    model,
                    messages,
                    tools,
                    left_out,
                    shortened,
                    max_output_tokens: reserved.output,
                    reserved_tokens: reserved.tokens(),
                    reserved_cost: reserved.cost,
                };
                events::record(tx, &subject, requested).await?;
                Ok(Ok((Opened { step, call, price: demand.price, bytes, reserved, limits, names }, request)))
            })
        })
        .await
}

/// Returns a key that is equal only for the same request of a run, because the history grows with each answer.
fn idempotency_key(run: &RunId, provider: &Name, reserved: &Reservation, content: &[u8], repetition: usize) -> String {
    let (output, repetition) = (reserved.output.to_be_bytes(), repetition.to_be_bytes());
    let whole = [run.as_str().as_bytes(), provider.as_str().as_bytes(), &output, &repetition, content];
    hex::encode(digest::sha256(&whole.concat()))
}

async fn today(tx: &mut Tx, agent: AgentKey) -> Result<RunUsage> {
    let now = tx.now();
    usage::on_day(tx, agent, clock::day(&now)).await
}

impl Opened {
    /// Returns the limit of output tokens.
    pub(super) fn output_limit(&self) -> u32 {
        self.reserved.output
    }

    /// Returns the usage of a call that failed after the provider reported some. `bytes` is the size of the answer so far.
    pub(super) fn used_before_failure(&self, reported: &models::Usage, bytes: usize) -> StepUsage {
        let output_tokens = reported.output_tokens.max(model_calls::likely_tokens(bytes as u64));
        self.used(Some(&models::Usage { output_tokens, ..*reported }), bytes)
    }

    /// Returns the usage of the call as reported by the provider. Without a report, it is estimated from the size of the
    /// request and an answer of `bytes` bytes.
    pub(super) fn used(&self, reported: Option<&models::Usage>, bytes: usize) -> StepUsage {
        let Some(usage) = reported.filter(|usage| usage.input_tokens > 0 || usage.output_tokens > 0) else {
            return model_calls::estimate(self.bytes, bytes as u64, self.price);
        };
        let (input_tokens, output_tokens) = (usage.input_tokens, usage.output_tokens);
        let cached_input_tokens = usage.cached_input_tokens.min(input_tokens);
        let cache_write_tokens = usage.cache_write_tokens.min(input_tokens - cached_input_tokens);
        let price = |price: Price| price.cost(input_tokens, cached_input_tokens, cache_write_tokens, output_tokens);
        StepUsage {
            input_tokens,
            cached_input_tokens,
            cache_write_tokens,
            output_tokens,
            cost: self.price.map(price),
            ..StepUsage::default()
        }
    }
}

/// Whether a code is that of an answer without text and tool calls.
pub(super) fn is_without_answer(code: &str) -> bool {
    matches!(code, EMPTY_ANSWER | OUTPUT_LIMIT)
}

/// Returns the calls since the last completed one, latest first.
pub(super) fn since_completed(calls: &[ModelCall]) -> impl Iterator<Item = &ModelCall> {
    calls.iter().rev().take_while(|call| call.status != Status::Completed)
}

impl RetryInfo {
    fn new(asked: &ModelSelection, too_long: &ContextOverflow) -> Option<Self> {
        if let Some(instead) = asked.instead.clone() {
            let instead_of = Some(instead.of);
            return Some(Self { attempt: instead.failed, reason: instead.reason, instead_of });
        }
        let smaller = (too_long.tries > 0).then(|| (too_long.tries, CONTEXT_TOO_LONG.to_owned()));
        let adapted = asked.earlier.last().filter(|last| last.code() == Some(MODEL_ADAPTED));
        let adapted = adapted.map(|_| (1, MODEL_ADAPTED.to_owned()));
        let (attempt, reason) = smaller.or(adapted).or_else(|| retry::tries(&asked.earlier))?;
        Some(Self { attempt, reason, instead_of: None })
    }
}

impl ContextOverflow {
    fn from_calls(calls: &[ModelCall]) -> Self {
        let failed = |call: &&ModelCall| call.code() == Some(CONTEXT_TOO_LONG);
        let made = calls.iter().rev().filter(|call| call.status != Status::Interrupted);
        let last: Vec<_> = made.take_while(failed).collect();
        let message = last.first().and_then(|call| call.error.as_ref()).map(|error| error.message.clone());
        Self {
            tries: last.len(),
            bytes: calls.iter().filter(failed).filter_map(|call| call.bytes).min().map(i64::unsigned_abs),
            message: message.unwrap_or_default(),
        }
    }
}
