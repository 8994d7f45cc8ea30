//! The model lists of providers, cached for a while: each model call needs the window and the price of its model.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use moxxy_types::{digest::Digest, ids::Name, money::Price, providers::Provider};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};

/// How long a list is cached.
const MAX_AGE: Duration = Duration::minutes(10);
/// How long a provider that gave none is not asked again by runs.
const RETRY_PAUSE: Duration = Duration::minutes(1);

/// A model of a provider.
#[derive(Debug, Clone, Serialize, JsonSchema)]
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
}

/// The lists that are cached.
#[derive(Debug, Default)]
pub struct ModelLists(Mutex<HashMap<Name, Cached>>);

#[derive(Debug, Clone)]
pub struct Cached {
    /// The component and its configuration.
    of: (Digest, Map<String, Value>),
    since: OffsetDateTime,
    /// None where it gave none.
    pub models: Option<Arc<Vec<Model>>>,
}

impl ModelLists {
    pub fn get(&self, provider: &Provider, now: OffsetDateTime) -> Option<Cached> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&provider.id).cloned()?;
        let age = now - cached.since;
        let longest = if cached.models.is_some() { MAX_AGE } else { RETRY_PAUSE };
        // A clock that was set back makes it old, too.
        let fresh = (Duration::ZERO..longest).contains(&age);
        (fresh && cached.of.0 == provider.component.digest && cached.of.1 == provider.config).then_some(cached)
    }

    pub fn keep(&self, provider: &Provider, since: OffsetDateTime, models: Option<&Vec<Model>>) {
        let of = (provider.component.digest.clone(), provider.config.clone());
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = lists.get(&provider.id).filter(|cached| cached.of == of).and_then(|cached| cached.models.clone());
        // Where it does not tell now, what it told before is as good as any.
        let models = models.cloned().map(Arc::new).or(before);
        lists.insert(provider.id.clone(), Cached { of, since, models });
    }

    /// Drops what is known of a provider that is gone.
    pub fn forget(&self, provider: &Name) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(provider);
    }
}
