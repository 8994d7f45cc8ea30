//! Demo agent for a first start. It works without a network.

use std::collections::BTreeMap;

use moxxy_store as store;
use moxxy_types::{
    agents::{Limits, ModelOptions},
    error::{Error, Result},
    ids::Name,
    tokens::Principal,
};

use crate::services::{
    agents::{self, NewAgent},
    providers::{self, NewProvider},
    runs::Runs,
    skills::{self, Install},
    source::Source,
};

const PERSONA: &str = "You carry out small tasks on texts with your tools, and report their results.";

/// Creates the agent `demo`, its provider and its skill, if the server never had an agent. Returns whether it did.
pub async fn make(runs: &Runs) -> Result<bool> {
    if !store::agents::none_ever(&mut *runs.store.read().await?).await? {
        return Ok(false);
    }
    let name = |text: &str| Name::from_db(text.to_owned());
    let provider = store::installations::provider(&mut *runs.store.read().await?, &name("offline")).await;
    if matches!(provider, Err(Error::NotFound(_))) {
        let offline = NewProvider {
            id: name("offline"),
            component: Source::Bundled(name("offline")),
            digest: None,
            config: serde_json::Map::new(),
            concurrency: None,
            accept: None,
            secrets: BTreeMap::new(),
        };
        providers::install(&runs.components, Principal::Local, offline).await?;
    }
    let demo = NewAgent {
        name: name("demo"),
        provider: name("offline"),
        model: "planner".into(),
        fallbacks: Vec::new(),
        persona: Some(PERSONA.into()),
        temperature: None,
        options: ModelOptions::default(),
        template: None,
        limits: Limits::default(),
    };
    agents::create(runs, Principal::Local, demo).await?;
    let text =
        Install { source: Source::Bundled(name("text")), digest: None, accept: None, config: serde_json::Map::new() };
    skills::install(&runs.components, Principal::Local, name("demo"), text).await?;
    Ok(true)
}
