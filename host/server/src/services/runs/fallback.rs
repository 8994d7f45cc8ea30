//! Which model a run asks: its agent's, until a call of it fails as one of another service may not; then
//! the next of the agent's list, with which the run stays. Told by what is written: a failed step says
//! which model is asked next, so a restart changes nothing.

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

/// Failures of one service that say nothing of another. A conversation that is too long is made shorter
/// instead; and content that one service refuses is not taken to another behind its back.
const OTHERS_MAY: [&str; 9] = [
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

/// The model that is asked.
pub struct ModelSelection {
    pub provider: Provider,
    pub model: String,
    /// Its calls in this run, in the order in which they began.
    pub earlier: Vec<Step>,
    /// The agent's, as they are now.
    settings: Settings,
    /// Which model failed before it, and how, if that was the last that happened.
    pub instead: Option<FailedOver>,
}

/// A model that failed.
#[derive(Debug, Clone)]
pub struct FailedOver {
    /// The provider and the model.
    pub of: String,
    pub reason: String,
    /// How many calls failed since the last that was answered.
    pub failed: usize,
}

pub async fn select_model(turn: &RunExecutor<'_>) -> Result<ModelSelection> {
    let mut db = turn.runs.store.read().await?;
    let mut earlier = steps::model_calls(&mut db, &turn.run.run_id).await?;
    // An agent that was moved off a provider goes on with its new one, since the old may be gone.
    let settings = store::agents::get(&mut db, &turn.run.agent_id).await?.settings;
    let now = current(&settings, &earlier);
    let instead = FailedOver::of(&earlier, &now);
    earlier.retain(|step| made_by(step) == now);
    let provider = store::providers::get(&mut db, &now.provider).await?;
    Ok(ModelSelection { provider, model: now.model, earlier, settings, instead })
}

impl ModelSelection {
    /// The model that is asked after this one failed so, if there is one, as a step's output says it.
    pub fn next(&self, failure: &Failure) -> Option<serde_json::Value> {
        if !OTHERS_MAY.contains(&failure.code()) {
            return None;
        }
        let is_this = |known: &Fallback| known.provider == self.provider.id && known.model == self.model;
        // The last, so that a list can only be gone down.
        let models: Vec<_> = self.settings.models().collect();
        let this = models.iter().rposition(is_this)?;
        Some(json!(models.get(this + 1)?))
    }

    /// Whether a call of it would be the same as of another.
    pub fn is(&self, other: &Self) -> bool {
        let (one, two) = (&self.provider, &other.provider);
        self.model == other.model
            && one.id == two.id
            && one.component.digest == two.component.digest
            && one.config == two.config
            && one.accepted == two.accepted
    }
}

/// What is asked now. One that is not in the agent's list any more is not.
fn current(settings: &Settings, calls: &[Step]) -> Fallback {
    let last = last_made(calls).map(|step| told_next(step).unwrap_or_else(|| made_by(step)));
    last.filter(|last| settings.models().any(|known| known == *last)).unwrap_or_else(|| settings.first())
}

/// One that was cut off says nothing of its service.
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
    fn of(calls: &[Step], now: &Fallback) -> Option<Self> {
        let last = last_made(calls).filter(|step| told_next(step).as_ref() == Some(now))?;
        let reason = last.output.as_ref()?.get("code")?.as_str()?.to_owned();
        let made = calls.iter().rev().filter(|step| step.status != "interrupted");
        let failed = made.take_while(|step| step.status == "failed").count();
        Some(Self { of: format!("{}/{}", last.provider(), last.name), reason, failed })
    }
}
