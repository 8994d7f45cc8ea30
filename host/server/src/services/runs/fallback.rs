//! Selection of a run's model. A run starts with its agent's model. After a failure that another service may not
//! have, it switches to the next model in the agent's list and stays with it. The failed call stores which model is
//! next, so a restart changes nothing.

use moxxy_runtime::Failure;
use moxxy_store::{
    self as store,
    learned_models::{self, LearnedModel},
    model_calls,
};
use moxxy_types::{
    agents::{Fallback, Settings},
    error::Result,
    installations::Installation,
    model_calls::{ModelCall, Status},
};

use crate::services::runs::executor::RunExecutor;

/// Codes of failures that another service may not have. A conversation that is too long is shortened instead. Content
/// that one service refuses is not sent to another.
const FAILOVER_CODES: [&str; 12] = [
    "provider_rate_limited",
    "provider_overloaded",
    "provider_unreachable",
    "provider_authentication",
    "provider_rejected_request",
    "provider_failed",
    "provider_loading",
    "empty_answer",
    "output_too_long",
    "component_trapped",
    "component_limit",
    "component_unavailable",
];

/// The selected model.
pub(super) struct ModelSelection {
    pub provider: Installation,
    pub model: String,
    /// What is known of the model from earlier errors.
    pub known: LearnedModel,
    /// Recent calls of the model in this run, oldest first.
    pub earlier: Vec<ModelCall>,
    /// Current settings of the agent.
    pub settings: Settings,
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

/// Selects the model to call now. `settings` are the current ones: if the agent was moved to another provider, the old
/// one may be gone.
pub(super) async fn select_model(executor: &RunExecutor<'_>, settings: Settings) -> Result<ModelSelection> {
    let mut db = executor.runs.store.read().await?;
    let mut earlier = model_calls::recent(&mut db, &executor.run.run_id).await?;
    let now = current(&settings, &earlier);
    let instead = FailedOver::from_calls(&earlier, &now);
    earlier.retain(|call| call.called() == now);
    let provider = store::installations::provider(&mut db, &now.provider).await?;
    let known = learned_models::get(&mut db, provider.key, &now.model).await?;
    Ok(ModelSelection { provider, model: now.model, known, earlier, settings, instead })
}

/// Whether the same call would be made now.
pub(super) async fn is_current(executor: &RunExecutor<'_>, asked: &ModelSelection) -> Result<bool> {
    let (settings, _) = store::agents::settings(&mut *executor.runs.store.read().await?, executor.run.agent).await?;
    Ok(select_model(executor, settings).await?.is(asked))
}

impl ModelSelection {
    /// Returns the model to call after this failure, if there is one.
    pub(super) fn next(&self, failure: &Failure) -> Option<Fallback> {
        if !FAILOVER_CODES.contains(&failure.code()) {
            return None;
        }
        let is_this = |known: &Fallback| known.provider == self.provider.name && known.model == self.model;
        // The last position, so that the search only moves down the list.
        let models: Vec<_> = self.settings.models().collect();
        let this = models.iter().rposition(is_this)?;
        models.get(this + 1).cloned()
    }

    /// Whether calls of both selections would be the same.
    fn is(&self, other: &Self) -> bool {
        let (one, two) = (&self.provider, &other.provider);
        self.model == other.model
            && one.id == two.id
            && one.component.digest == two.component.digest
            && one.config == two.config
            && one.accepted == two.accepted
    }
}

/// Returns the model to call now. A model that is no longer in the agent's list is not called.
fn current(settings: &Settings, calls: &[ModelCall]) -> Fallback {
    let last = last_made(calls).map(|call| call.next.clone().unwrap_or_else(|| call.called()));
    last.filter(|last| settings.models().any(|known| known == *last)).unwrap_or_else(|| settings.first())
}

/// Returns the last call that was not interrupted, because an interruption says nothing about the service.
fn last_made(calls: &[ModelCall]) -> Option<&ModelCall> {
    calls.iter().rfind(|call| call.status != Status::Interrupted)
}

impl FailedOver {
    fn from_calls(calls: &[ModelCall], now: &Fallback) -> Option<Self> {
        let last = last_made(calls).filter(|call| call.next.as_ref() == Some(now))?;
        let made = calls.iter().rev().filter(|call| call.status != Status::Interrupted);
        let failed = made.take_while(|call| call.status == Status::Failed).count();
        Some(Self { of: format!("{}/{}", last.provider, last.model), reason: last.code()?.to_owned(), failed })
    }
}
