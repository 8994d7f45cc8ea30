//! Cache of providers' model lists, in front of those in the database. Each model call needs the context window and
//! the price of its model.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use moxxy_types::{digest::Digest, ids::Name, installations::Installation, money::Price};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};

/// Lifetime of a cached list.
const MAX_AGE: Duration = Duration::minutes(10);
/// Pause before runs ask a provider again that returned no list.
const RETRY_PAUSE: Duration = Duration::minutes(1);

/// A model of a provider.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Model {
    /// What agents name it by.
    pub id: String,
    /// What people call it.
    pub display_name: Option<String>,
    /// How many tokens it reads and writes at most, together, if that is known.
    pub context_window: Option<u32>,
    /// How many tokens it writes at most, if that is known.
    pub max_output_tokens: Option<u32>,
    /// What it costs, if that is known: as the configuration says, or else as the provider does.
    pub price: Option<Price>,
    /// Whether it can call tools, if that is known.
    #[serde(default)]
    pub calls_tools: Option<bool>,
    /// Whether it reads images, if that is known.
    #[serde(default)]
    pub reads_images: Option<bool>,
}

/// Cached model lists by provider.
#[derive(Debug, Default)]
pub(super) struct ModelLists(Mutex<HashMap<Name, Cached>>);

#[derive(Debug, Clone)]
pub(super) struct Cached {
    /// Digest of the component and its configuration.
    version: (Digest, Map<String, Value>),
    since: OffsetDateTime,
    /// `None` if the provider returned no list.
    pub models: Option<Arc<Vec<Model>>>,
}

impl ModelLists {
    pub(super) fn get(&self, provider: &Installation, now: OffsetDateTime) -> Option<Cached> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&provider.name).cloned()?;
        let age = now - cached.since;
        let longest = if cached.models.is_some() { MAX_AGE } else { RETRY_PAUSE };
        // A list from the future, after the clock was set back, counts as expired.
        let fresh = (Duration::ZERO..longest).contains(&age);
        (fresh && cached.version.0 == provider.component.digest && cached.version.1 == provider.config)
            .then_some(cached)
    }

    pub(super) fn insert(&self, provider: &Installation, since: OffsetDateTime, models: Option<&Vec<Model>>) {
        let version = (provider.component.digest.clone(), provider.config.clone());
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = lists
            .get(&provider.name)
            .filter(|cached| cached.version == version)
            .and_then(|cached| cached.models.clone());
        // Without a new list, the previous one stays valid.
        let models = models.cloned().map(Arc::new).or(before);
        lists.insert(provider.name.clone(), Cached { version, since, models });
    }

    /// Removes the list of a removed provider.
    pub(super) fn forget(&self, provider: &Name) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(provider);
    }
}
