//! Selection of a run's model. A run starts with its agent's model. After a failure that another service may not
//! have, it switches to the next model in the agent's list and stays with it. The failed step stores which model is
//! next, so a restart changes nothing.

use moxxy_runtime::Failure;
use moxxy_store::{self as store, steps};
use moxxy_types::{
    agents::{Fallback, Settings},
    error::Result,
    providers::Provider,
    runs::Step,
};
use serde_json::json;

use crate::services::runs::executor::RunExecutor;

/// Codes of failures that another service may not have. A conversation that is too long is shortened instead. Content
/// that one service refuses is not sent to another.
const FAILOVER_CODES: [&str; 9] = [
    "provider_rate_limited",
    "provider_overloaded",
    "provider_unreachable",
    "provider_authentication",
    "provider_rejected_request",
    "provider_failed",
    "component_trapped",
    "component_limit",
    "component_unavailable",
];

/// The selected model.
pub(super) struct ModelSelection {
    pub provider: Provider,
    pub model: String,
    /// Calls of the model in this run, in the order in which they started.
    pub earlier: Vec<Step>,
    /// Current settings of the agent.
    settings: Settings,
    /// The model that failed before this one and why, if that was the last call.
    pub instead: Option<FailedOver>,
}

/// A model whose failure caused a switch to another one.
#[derive(Debug, Clone)]
pub(super) struct FailedOver {
    /// The model, as `provider/model`.
    pub of: String,
    pub reason: String,
    /// Number of failed calls since the last successful one.
    pub failed: usize,
}

pub(super) async fn select_model(executor: &RunExecutor<'_>) -> Result<ModelSelection> {
    let mut db = executor.runs.store.read().await?;
    let mut earlier = steps::model_calls(&mut db, &executor.run.run_id).await?;
    // Current settings: if the agent was moved to another provider, the old one may be gone.
    let settings = store::agents::get(&mut db, &executor.run.agent_id).await?.settings;
    let now = current(&settings, &earlier);
    let instead = FailedOver::from_calls(&earlier, &now);
    earlier.retain(|step| made_by(step) == now);
    let provider = store::providers::get(&mut db, &now.provider).await?;
    Ok(ModelSelection { provider, model: now.model, earlier, settings, instead })
}

impl ModelSelection {
    /// Returns the model to call after this failure, if there is one, in the format of a step's output.
    pub(super) fn next(&self, failure: &Failure) -> Option<serde_json::Value> {
        if !FAILOVER_CODES.contains(&failure.code()) {
            return None;
        }
        let is_this = |known: &Fallback| known.provider == self.provider.id && known.model == self.model;
        // The last position, so that the search only moves down the list.
        let models: Vec<_> = self.settings.models().collect();
        let this = models.iter().rposition(is_this)?;
        Some(json!(models.get(this + 1)?))
    }

    /// Whether calls of both selections would be the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        let (one, two) = (&self.provider, &other.provider);
        self.model == other.model
            && one.id == two.id
            && one.component.digest == two.component.digest
            && one.config == two.config
            && one.accepted == two.accepted
    }
}

/// Returns the model to call now. A model that is no longer in the agent's list is not called.
fn current(settings: &Settings, calls: &[Step]) -> Fallback {
    let last = last_made(calls).map(|step| told_next(step).unwrap_or_else(|| made_by(step)));
    last.filter(|last| settings.models().any(|known| known == *last)).unwrap_or_else(|| settings.first())
}

/// Returns the last call that was not interrupted, because an interruption says nothing about the service.
fn last_made(calls: &[Step]) -> Option<&Step> {
    calls.iter().rfind(|step| step.status != "interrupted")
}

fn made_by(step: &Step) -> Fallback {
    Fallback { provider: step.provider(), model: step.name.clone() }
}

fn told_next(step: &Step) -> Option<Fallback> {
    serde_json::from_value(step.output.as_ref()?.get("next")?.clone()).ok()
}

impl FailedOver {
    fn from_calls(calls: &[Step], now: &Fallback) -> Option<Self> {
        let last = last_made(calls).filter(|step| told_next(step).as_ref() == Some(now))?;
        let reason = last.output.as_ref()?.get("code")?.as_str()?.to_owned();
        let made = calls.iter().rev().filter(|step| step.status != "interrupted");
        let failed = made.take_while(|step| step.status == "failed").count();
        Some(Self { of: format!("{}/{}", last.provider(), last.name), reason, failed })
    }
}
