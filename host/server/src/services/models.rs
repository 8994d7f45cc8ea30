//! The models of providers: asked of the component, and kept for a while, as each model call needs to
//! know the window and the price of its model.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use moxxy_runtime as plugins;
use moxxy_types::{digest::Digest, error::Result, events::EventContext, ids::Name, money::Price, providers::Provider};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};

use crate::{app::App, services::providers};

/// How long a list is kept.
const KEPT: Duration = Duration::minutes(10);
/// How long a provider that gave none is not asked again by runs.
const PAUSE: Duration = Duration::minutes(1);

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

/// What is known of a model.
#[derive(Debug, Default)]
pub struct About {
    pub context_window: Option<u32>,
    pub max_output_tokens: Option<u32>,
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
    /// None where it gave none.
    models: Option<Arc<Vec<Model>>>,
}

/// The models of a provider, as it told them within the last minutes, or else as it tells them now.
pub async fn of(app: &App, provider: &Provider) -> Result<Vec<Model>> {
    match app.models.get(provider, app.store.clock().now()).and_then(|kept| kept.models) {
        Some(models) => Ok(models.to_vec()),
        None => ask(app, provider).await,
    }
}

/// Asks a provider which models it has now.
pub async fn ask(app: &App, provider: &Provider) -> Result<Vec<Model>> {
    app.check_active()?;
    let context = providers::context(app, provider, EventContext::default()).await?;
    let listed = app.plugins.list_models(&provider.component.digest, context).await;
    let known = |model: plugins::models::Model| Model::new(app, &provider.id, model);
    let listed = listed.map(|models| models.into_iter().map(known).collect::<Vec<_>>());
    app.models.keep(provider, app.store.clock().now(), listed.as_ref().ok());
    Ok(listed?)
}

/// What is known of a model. A provider that does not tell is not waited for at each call.
pub async fn about(app: &App, provider: &Provider, model: &str) -> About {
    let models = match app.models.get(provider, app.store.clock().now()) {
        Some(kept) => kept.models,
        None => match ask(app, provider).await {
            Ok(models) => Some(Arc::new(models)),
            Err(error) => {
                tracing::warn!(provider = %provider.id, %error, "a provider does not tell its models");
                None
            }
        },
    };
    let found = models.iter().flat_map(|models| models.iter()).find(|known| known.id == model);
    match found {
        Some(model) => About {
            context_window: model.context_window,
            max_output_tokens: model.max_output_tokens,
            price: model.price,
        },
        None => About { price: configured(app, &provider.id, model), ..About::default() },
    }
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
        let longest = if kept.models.is_some() { KEPT } else { PAUSE };
        // A clock that was set back makes it old, too.
        let fresh = (Duration::ZERO..longest).contains(&age);
        (fresh && kept.of.0 == provider.component.digest && kept.of.1 == provider.config).then_some(kept)
    }

    fn keep(&self, provider: &Provider, since: OffsetDateTime, models: Option<&Vec<Model>>) {
        let of = (provider.component.digest.clone(), provider.config.clone());
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = lists.get(&provider.id).filter(|kept| kept.of == of).and_then(|kept| kept.models.clone());
        // Where it does not tell now, what it told before is as good as any.
        let models = models.cloned().map(Arc::new).or(before);
        lists.insert(provider.id.clone(), Kept { of, since, models });
    }

    /// Drops what is known of a provider that is gone.
    pub fn forget(&self, provider: &Name) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(provider);
    }
}
