//! Agents: named configurations of a persona, models and limits.

mod checks;

use std::time::Duration;

use moxxy_store::{self as store, Store, Tx, events};
use moxxy_types::{
    agents::{Agent, AgentKey, Fallback, Limits, ModelOptions, Settings},
    error::{Error, Result},
    events::{Event, EventContext},
    ids::Name,
    jobs::{AGENT_REMOVAL, NewJob},
    paging::{Page, PageRequest},
    runs::DailyUsage,
    tokens::Principal,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::{
    background::{Background, Effect, Next, Recurrence},
    services::{
        etag::Expected,
        installations,
        merge_patch::{self, present},
        runs::{self, Runs},
    },
};

/// Time in which a deletion removes rows itself before it leaves them to a job, in seconds.
const REMOVAL_SECONDS: i64 = 2;
/// Number of rows that one transaction of a removal removes.
const ROWS_PER_TRANSACTION: u64 = 1000;

/// An agent to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAgent {
    /// What it goes by from now on: 1 to 64 of `a-z`, `0-9` and `-`.
    pub name: Name,
    /// An installed provider.
    pub provider: Name,
    /// A model of the provider, as `/v1/providers/{provider_id}/models` names it.
    pub model: String,
    /// Models that a run goes on with, in this order, when the one before fails and nothing of its answer
    /// was passed on: at most 8.
    #[serde(default)]
    pub fallbacks: Vec<Fallback>,
    /// What the model is told of itself before each conversation, at most 64 KiB. `null`:
    /// nothing.
    pub persona: Option<String>,
    /// How freely the model chooses its words, 0 to 2. `null`: as the provider has it.
    #[schemars(range(min = 0, max = 2))]
    pub temperature: Option<f64>,
    #[serde(default)]
    pub options: ModelOptions,
    /// For the archetypes that are to come: this version has none, so leave it out.
    pub template: Option<Name>,
    #[serde(default)]
    pub limits: Limits,
}

/// A change: what is absent stays, `null` takes away.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "AgentPatch")]
pub struct Patch {
    /// An installed provider; its `model` has to be one of it.
    pub provider: Option<Name>,
    /// A model of the provider, as `/v1/providers/{provider_id}/models` names it.
    pub model: Option<String>,
    /// In place of all fallbacks that there are.
    pub fallbacks: Option<Vec<Fallback>>,
    /// What the model is told of itself before each conversation, at most 64 KiB. `null`:
    /// nothing.
    #[serde(deserialize_with = "present")]
    pub persona: Option<Option<String>>,
    /// How freely the model chooses its words, 0 to 2. `null`: as the provider has it.
    #[serde(deserialize_with = "present")]
    pub temperature: Option<Option<f64>>,
    /// Changes to the options.
    #[schemars(with = "Option<ModelOptions>")]
    pub options: Option<Map<String, Value>>,
    /// Changes to the limits.
    #[schemars(with = "Option<Limits>")]
    pub limits: Option<Map<String, Value>>,
}

/// Returns a page of agents, by name.
pub async fn list(runs: &Runs, page: &PageRequest) -> Result<Page<Agent>> {
    let agents = store::agents::list(&mut *runs.store.read().await?, page).await?;
    Ok(page.cut(agents, |agent| agent.name.to_string()))
}

pub async fn get(runs: &Runs, name: &Name) -> Result<Agent> {
    store::agents::get(&mut *runs.store.read().await?, name).await
}

/// Returns a page of an agent's usage by day (UTC), latest first. Days without usage are omitted.
pub async fn usage(runs: &Runs, name: &Name, page: &PageRequest) -> Result<Page<DailyUsage>> {
    let mut db = runs.store.read().await?;
    let key = store::agents::get(&mut db, name).await?.key;
    store::usage::days(&mut db, key, page).await
}

/// Creates an agent. Its warnings tell of models that the provider does not list.
pub async fn create(runs: &Runs, principal: Principal, new: NewAgent) -> Result<Agent> {
    if let Some(template) = new.template {
        return Err(Error::not_found("template", template));
    }
    let name = new.name;
    let settings = Settings {
        provider: new.provider,
        model: new.model,
        fallbacks: new.fallbacks,
        persona: new.persona,
        temperature: new.temperature,
        options: new.options,
        limits: new.limits,
    };
    let warnings = checks::check(runs, &settings, &[]).await?;
    runs.store
        .write(move |tx| {
            Box::pin(async move {
                store::agents::insert(tx, &name, &settings).await?;
                let created = Event::AgentCreated { provider: settings.provider, model: settings.model };
                events::record(tx, &EventContext::agent(&name).by(principal.name()), created).await?;
                store::agents::get(tx, &name).await
            })
        })
        .await
        .map(|agent| with_warnings(agent, warnings))
}

fn with_warnings(agent: Agent, warnings: Vec<String>) -> Agent {
    for warning in &warnings {
        tracing::warn!(agent = %agent.name, "{warning}");
    }
    Agent { warnings, ..agent }
}

/// Applies a patch to the agent's state at the time of the write.
pub async fn update(runs: &Runs, principal: Principal, name: Name, patch: Patch, expected: Expected) -> Result<Agent> {
    let remodelled = patch.provider.is_some() || patch.model.is_some() || patch.fallbacks.is_some();
    let before = store::agents::get(&mut *runs.store.read().await?, &name).await?.settings;
    let mut wanted = before.clone();
    patch.clone().apply(&mut wanted)?;
    let known: Vec<_> = before.models().collect();
    let warnings = checks::check(runs, &wanted, &known).await?;
    runs.store
        .write(move |tx| {
            Box::pin(async move {
                let mut agent = store::agents::get(tx, &name).await?;
                expected.check(&agent)?;
                let changed = patch.apply(&mut agent.settings)?;
                if changed.is_empty() {
                    return Ok(agent);
                }
                if remodelled && !wanted.models().eq(agent.settings.models()) {
                    let message = format!("The models of agent '{name}' were changed meanwhile; look again");
                    return Err(Error::conflict("changed_meanwhile", message));
                }
                store::agents::update(tx, &name, &agent.settings).await?;
                let subject = EventContext::agent(&name).by(principal.name());
                events::record(tx, &subject, Event::AgentUpdated { changed, tool_policy: None }).await?;
                store::agents::get(tx, &name).await
            })
        })
        .await
        .map(|agent| with_warnings(agent, warnings))
}

/// Stops the agent's runs, then deletes the agent. What takes long to remove is left to a job.
pub async fn delete(runs: &Runs, principal: Principal, name: Name, expected: Expected) -> Result<()> {
    expected.check(&store::agents::get(&mut *runs.store.read().await?, &name).await?)?;
    runs::stop_all(runs, &principal, &name, moxxy_types::runs::Stop::Now).await?;
    let key = runs
        .store
        .write(move |tx| {
            Box::pin(async move {
                let key = store::agents::get(tx, &name).await?.key;
                store::agents::delete(tx, key).await?;
                let removal = NewJob {
                    kind: AGENT_REMOVAL,
                    key: removal_key(key),
                    agent: None,
                    origin: Some(name.to_string()),
                    payload: json!(key.0),
                    due_at: tx.after(REMOVAL_SECONDS),
                    created_by: principal.name().to_owned(),
                };
                store::jobs::insert(tx, &removal).await?;
                events::record(tx, &EventContext::agent(&name).by(principal.name()), Event::AgentDeleted {}).await?;
                Ok(key)
            })
        })
        .await?;
    runs.scheduler.forget(key);
    let store = runs.store.clone();
    // Small agents are gone with the answer, and the rows of large ones after it.
    let removal = runs.tasks.run_detached("agent removal", async move {
        drop(timeout(Duration::from_secs(REMOVAL_SECONDS.unsigned_abs()), remove_rows(&store, key)).await);
        Ok(())
    });
    removal.await?;
    installations::remove_unused(&runs.components).await
}

/// Registers the job that removes what is left of deleted agents.
pub fn register_jobs(runs: &Runs, background: &Background) {
    let store = runs.store.clone();
    background.register(AGENT_REMOVAL, Recurrence::Once, move |job| {
        let store = store.clone();
        async move {
            let key = AgentKey(job.payload.as_i64().ok_or_else(|| Error::internal("a removal without an agent"))?);
            remove_rows(&store, key).await?;
            Ok(Effect::none(Next::Done))
        }
    });
}

/// Removes the rows of a deleted agent in pieces, so that others can write in between.
async fn remove_rows(store: &Store, key: AgentKey) -> Result<()> {
    while !store.write(move |tx| Box::pin(remove_piece(tx, key))).await? {}
    Ok(())
}

async fn remove_piece(tx: &mut Tx, key: AgentKey) -> Result<bool> {
    let is_done = store::agents::remove_rows(tx, key, ROWS_PER_TRANSACTION).await?;
    if is_done {
        store::jobs::remove(tx, &[removal_key(key)]).await?;
    }
    Ok(is_done)
}

fn removal_key(key: AgentKey) -> String {
    format!("{AGENT_REMOVAL}:{}", key.0)
}

impl Patch {
    /// Applies the patch and returns the names of the settings that it sets.
    fn apply(self, settings: &mut Settings) -> Result<Vec<&'static str>> {
        let mut changed = Vec::new();
        set(&mut settings.provider, self.provider, "provider", &mut changed);
        set(&mut settings.model, self.model, "model", &mut changed);
        set(&mut settings.fallbacks, self.fallbacks, "fallbacks", &mut changed);
        set(&mut settings.persona, self.persona, "persona", &mut changed);
        set(&mut settings.temperature, self.temperature, "temperature", &mut changed);
        let options = merged("options", &settings.options, self.options)?;
        set(&mut settings.options, options, "options", &mut changed);
        let limits = merged("limits", &settings.limits, self.limits)?;
        set(&mut settings.limits, limits, "limits", &mut changed);
        Ok(changed)
    }
}

/// Returns an object after a merge patch (RFC 7396), if there is one. `field` is its name.
fn merged<T: Serialize + DeserializeOwned>(
    field: &str,
    now: &T,
    patch: Option<Map<String, Value>>,
) -> Result<Option<T>> {
    let Some(patch) = patch else { return Ok(None) };
    let mut fields = match serde_json::to_value(now).map_err(Error::internal)? {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    merge_patch::apply(&mut fields, patch);
    serde_path_to_error::deserialize(Value::Object(fields)).map(Some).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { field.to_owned() } else { format!("{field}.{path}") };
        Error::invalid_field(&field, error.inner().to_string())
    })
}

fn set<T>(setting: &mut T, value: Option<T>, name: &'static str, changed: &mut Vec<&'static str>) {
    if let Some(value) = value {
        *setting = value;
        changed.push(name);
    }
}
