//! The models of providers: asked of the component, and kept for a while.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};

use super::providers::{self, Provider};
use crate::{app::App, digest::Digest, error::Result, events::Subject, ids::Name, money::Price, plugins};

/// How long a list is kept.
const KEPT: Duration = Duration::minutes(10);

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

/// The lists that are kept.
#[derive(Debug, Default)]
pub struct Lists(Mutex<HashMap<Name, Kept>>);

#[derive(Debug, Clone)]
struct Kept {
    /// The component and its configuration.
    of: (Digest, Map<String, Value>),
    since: OffsetDateTime,
    models: Arc<Vec<Model>>,
}

/// The models of a provider, as it told them within the last minutes, or else as it tells them now.
pub async fn of(app: &App, provider: &Provider) -> Result<Vec<Model>> {
    match app.models.get(provider, app.store.clock().now()) {
        Some(kept) => Ok(kept.models.to_vec()),
        None => ask(app, provider).await,
    }
}

/// Asks a provider which models it has now.
pub async fn ask(app: &App, provider: &Provider) -> Result<Vec<Model>> {
    let context = providers::context(app, provider, Subject::default()).await?;
    let listed = app.plugins.list_models(&provider.component.digest, context).await?;
    let models: Vec<_> = listed.into_iter().map(|model| Model::new(app, &provider.id, model)).collect();
    app.models.keep(provider, app.store.clock().now(), &models);
    Ok(models)
}

/// The price that the configuration gives a model.
fn configured(app: &App, provider: &Name, model: &str) -> Option<Price> {
    let prices = &app.config.prices.models;
    prices.iter().rfind(|price| price.provider == provider.as_str() && price.model == model).map(|price| price.price)
}

impl Model {
    fn new(app: &App, provider: &Name, model: plugins::models::Model) -> Self {
        let told = model.price.and_then(|price| Price::new(price.input, price.cached_input, price.output));
        Self {
            price: configured(app, provider, &model.id).or(told),
            id: model.id,
            display_name: model.display_name,
            // None would leave no room for anything.
            context_window: model.context_window.filter(|window| *window > 0),
            max_output_tokens: model.max_output_tokens.filter(|most| *most > 0),
        }
    }
}

impl Lists {
    fn get(&self, provider: &Provider, now: OffsetDateTime) -> Option<Kept> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&provider.id).cloned()?;
        let age = now - kept.since;
        // A clock that was set back makes it old, too.
        let fresh = (Duration::ZERO..KEPT).contains(&age);
        (fresh && kept.of.0 == provider.component.digest && kept.of.1 == provider.config).then_some(kept)
    }

    fn keep(&self, provider: &Provider, since: OffsetDateTime, models: &[Model]) {
        let of = (provider.component.digest.clone(), provider.config.clone());
        let kept = Kept { of, since, models: Arc::new(models.to_vec()) };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(provider.id.clone(), kept);
    }

    /// Drops what is known of a provider that is gone.
    pub fn forget(&self, provider: &Name) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(provider);
    }
}
