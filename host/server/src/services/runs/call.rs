//! Preparation of a model call: its request, and the step that reserves its maximum usage.

use moxxy_runtime::models;
use moxxy_store::{self as store, Tx, events, steps};
use moxxy_types::{
    agents::AgentKey,
    clock, digest,
    error::{Error, Result},
    events::Event,
    ids::StepId,
    messages::Message,
    money::Price,
    runs::{Failure, RunUsage, Step, StepKind, StepUsage},
    skills::Skill,
};
use serde_json::json;

use crate::services::{
    models as listed,
    models::ModelInfo,
    runs::{
        approval,
        budget::{Demand, Reservation},
        compaction,
        executor::RunExecutor,
        fallback::ModelSelection,
        retry,
        tool_names::ToolNameMap,
    },
};

/// Error code of a provider for a conversation that does not fit into the context window.
pub(super) const CONTEXT_TOO_LONG: &str = "context_too_long";
/// Maximum number of retries of a conversation that does not fit, each with half of it.
const RETRIES: usize = 3;

/// A prepared call.
#[derive(Clone)]
pub(super) struct Call {
    request: models::Request,
    left_out: usize,
    shortened: usize,
    /// Size of the request, in bytes.
    bytes: u64,
    demand: Demand,
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
    price: Option<Price>,
    reserved: Reservation,
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
    asked: &ModelSelection,
    history: &[Message],
    skills: &[Skill],
) -> Result<Result<Call, Failure>> {
    let ModelSelection { provider, model, earlier, .. } = asked;
    let settings = &executor.agent.settings;
    let about = listed::info(&executor.runs.components, provider, model).await;
    let policy = store::agents::policy(&mut *executor.runs.store.read().await?, executor.agent.key).await?;
    let too_long = ContextOverflow::from_calls(earlier);
    let output = output(&about, executor.runs.config.runs.max_output_tokens);
    let mut request = models::Request {
        model: model.clone(),
        system: settings.persona.clone(),
        messages: Vec::new(),
        tools: approval::offered(skills, &policy, executor.run.unattended),
        temperature: settings.temperature.map(|temperature| temperature as f32),
        max_output_tokens: None,
        response_schema: None,
        idempotency_key: None,
    };
    let names = ToolNameMap::new(request.tools.iter().map(|tool| tool.name.as_str()));
    let frame = compaction::frame(&request);
    let window =
        about.context_window.map(|window| compaction::bytes_for_tokens(u64::from(window.saturating_sub(output))));
    let room = window.into_iter().chain(too_long.bytes.map(|bytes| bytes / 2)).min();
    let context = compaction::fit(history, &executor.run.run_id, room.map(|room| room.saturating_sub(frame)))?;
    request.messages = context.messages;
    let bytes = frame + compaction::size(&request.messages);
    if too_long.tries > RETRIES || (too_long.tries > 0 && too_long.bytes.is_some_and(|before| bytes >= before)) {
        return Ok(Err(Failure { code: CONTEXT_TOO_LONG.into(), message: too_long.message }));
    }
    names.rename_request(&mut request);
    let model = format!("{}/{model}", provider.id);
    let demand = Demand { input: compaction::most_tokens(bytes), output, price: about.price, model };
    let (left_out, shortened) = (context.left_out, context.shortened);
    let again = RetryInfo::new(asked, &too_long);
    Ok(Ok(Call { request, left_out, shortened, bytes, demand, names, again }))
}

/// Returns the maximum number of output tokens: at most half of the context window, to leave room for the
/// conversation.
fn output(about: &ModelInfo, wanted: u32) -> u32 {
    let window = about.context_window.map(|window| (window / 2).max(1));
    [about.max_output_tokens, window].into_iter().flatten().fold(wanted, u32::min)
}

/// Opens the step of a call and returns the request, if the limits allow it.
pub(super) async fn open(
    executor: &RunExecutor<'_>,
    asked: &ModelSelection,
    call: Call,
) -> Result<Result<(Opened, models::Request), Failure>> {
    let (run, agent, subject) = (executor.run.run_id.clone(), executor.agent.key, executor.subject());
    let (provider, budget) = (asked.provider.id.clone(), executor.budget());
    let content = serde_json::to_vec(&call.request).map_err(Error::internal)?;
    executor.runs
        .store
        .persist(move |tx| {
            Box::pin(async move {
                let Call { mut request, left_out, shortened, bytes, demand, names, again } = call;
                let spent = steps::usage_of_run(tx, &run).await?;
                let today = if budget.has_daily_limits() { today(tx, agent).await? } else { RunUsage::default() };
                let reserved = match budget.admit(&demand, &spent, &today) {
                    Ok(reserved) => reserved,
                    Err(failure) => return Ok(Err(failure)),
                };
                // Equal only for the same request of a run, because the history grows with each answer.
                let whole = [run.as_str().as_bytes(), provider.as_str().as_bytes(), &reserved.output.to_be_bytes(), &content];
                let key = digest::sha256(&whole.concat());
                let key = hex::encode(key);
                request.max_output_tokens = Some(reserved.output);
                request.idempotency_key = Some(key.clone());
                let (messages, tools) = (request.messages.len(), request.tools.len());
                let input = json!({
                    "provider": provider, "messages": messages, "tools": tools, "left_out": left_out,
                    "shortened": shortened, "bytes": bytes, "max_output_tokens": reserved.output, "idempotency_key": key,
                });
                let step = steps::open(tx, &run, StepKind::Model, &request.model, &input).await?;
                let cost = reserved.cost.unwrap_or_default();
                steps::reserve(tx, &step, reserved.tokens(), cost).await?;
                if let Some(RetryInfo { attempt, reason, instead_of }) = again {
                    let (step_id, provider_id, model) = (step.clone(), provider.clone(), request.model.clone());
                    let retried = Event::ModelRetried { step_id, provider_id, model, reason, attempt, instead_of };
                    events::record(tx, &subject, retried).await?;
                }
                let requested = Event::ModelRequest {
                    step_id: step.clone(),
                    provider_id: provider,
                    model: request.model.clone(),
                    messages,
                    tools,
                    left_out,
                    shortened,
                    max_output_tokens: reserved.output,
                    reserved_tokens: reserved.tokens(),
                    reserved_cost: reserved.cost,
                };
                events::record(tx, &subject, requested).await?;
                Ok(Ok((Opened { step, price: demand.price, reserved, names }, request)))
            })
        })
        .await
}

async fn today(tx: &mut Tx, agent: AgentKey) -> Result<RunUsage> {
    let now = tx.now();
    steps::usage_on_day(tx, agent, clock::day(&now)).await
}

impl Opened {
    /// Returns the usage of the call as reported by the provider. Without a report, it is estimated from the reserved
    /// input and an answer of `bytes` bytes.
    pub(super) fn used(&self, reported: Option<&models::Usage>, bytes: usize) -> StepUsage {
        let Some(usage) = reported else {
            let output = compaction::most_tokens(bytes as u64).min(self.reserved.output.into());
            return StepUsage {
                reserved_tokens: self.reserved.input.saturating_add(output),
                reserved_cost: self.price.map(|price| price.max_cost(self.reserved.input, output)).unwrap_or_default(),
                ..StepUsage::default()
            };
        };
        let (input_tokens, output_tokens) = (usage.input_tokens, usage.output_tokens);
        let cached_input_tokens = usage.cached_input_tokens.min(input_tokens);
        let cost = self.price.map(|price| price.cost(input_tokens, cached_input_tokens, output_tokens));
        StepUsage { input_tokens, cached_input_tokens, output_tokens, cost, ..StepUsage::default() }
    }
}

impl RetryInfo {
    fn new(asked: &ModelSelection, too_long: &ContextOverflow) -> Option<Self> {
        if let Some(instead) = asked.instead.clone() {
            let instead_of = Some(instead.of);
            return Some(Self { attempt: instead.failed, reason: instead.reason, instead_of });
        }
        let smaller = (too_long.tries > 0).then(|| (too_long.tries, CONTEXT_TOO_LONG.to_owned()));
        let (attempt, reason) = smaller.or_else(|| retry::tries(&asked.earlier))?;
        Some(Self { attempt, reason, instead_of: None })
    }
}

impl ContextOverflow {
    fn from_calls(calls: &[Step]) -> Self {
        let failed = |step: &&Step| step.output.as_ref().is_some_and(|output| output["code"] == CONTEXT_TOO_LONG);
        let bytes = |step: &Step| step.input.as_ref()?.get("bytes")?.as_u64();
        let made = calls.iter().rev().filter(|step| step.status != "interrupted");
        let last: Vec<_> = made.take_while(failed).collect();
        let message = last.first().and_then(|step| step.output.as_ref()?.get("message")?.as_str());
        Self {
            tries: last.len(),
            bytes: calls.iter().filter(failed).filter_map(bytes).min(),
            message: message.unwrap_or_default().to_owned(),
        }
    }
}
