//! Models of providers, listed by the component and cached.

use std::sync::Arc;

use moxxy_runtime as plugins;
use moxxy_store::{self as store, learned_models::LearnedModel};
use moxxy_system::tasks::Policy;
use moxxy_types::{
    error::{Error, Result},
    events::EventContext,
    ids::Name,
    installations::Installation,
    money::Price,
};

pub use crate::services::model_lists::Model;
use crate::services::{completion, components::Components};

/// Known properties of a model.
#[derive(Debug, Default)]
pub struct ModelInfo {
    pub context_window: Option<u32>,
    pub max_output_tokens: Option<u32>,
    pub price: Option<Price>,
    /// Whether it can call tools, if that is known.
    pub calls_tools: Option<bool>,
}

impl ModelInfo {
    /// Adds what is known from errors of the service.
    pub fn with_learned(mut self, known: &LearnedModel) -> Self {
        let least = |listed: Option<u32>, learned: Option<u32>| [listed, learned].into_iter().flatten().min();
        self.context_window = least(self.context_window, known.context_window);
        self.max_output_tokens = least(self.max_output_tokens, known.max_output_tokens);
        self
    }
}

/// Returns the models of the provider with this id.
pub async fn list(components: &Components, id: &Name) -> Result<Vec<Model>> {
    let provider = store::installations::provider(&mut *components.store.read().await?, id).await?;
    get_or_refresh(components, &provider).await
}

/// Returns the models of a provider, from the cache if possible.
pub async fn get_or_refresh(components: &Components, provider: &Installation) -> Result<Vec<Model>> {
    match components.models.get(provider, components.store.clock().now()).and_then(|cached| cached.models) {
        Some(models) => Ok(models.to_vec()),
        None => refresh(components, provider).await,
    }
}

/// Lists the models of a provider without the cache, and stores the result.
pub async fn refresh(components: &Components, provider: &Installation) -> Result<Vec<Model>> {
    components.activation.check()?;
    let context = completion::context(components, provider, EventContext::default()).await?;
    let listed = components.plugins.list_models(&provider.component.digest, context).await;
    let listed = listed.map(|models| models.into_iter().map(Model::from).collect::<Vec<_>>());
    if let Ok(models) = &listed {
        let (provider, models) = (provider.clone(), models.clone());
        let stored = components
            .store
            .write(move |tx| Box::pin(async move { store::model_lists::put(tx, &provider, &models).await }));
        if let Err(error) = stored.await {
            tracing::warn!(%error, "failed to store the models of a provider");
        }
    }
    let priced = listed.map(|models| with_configured_prices(components, &provider.name, models));
    components.models.insert(provider, components.store.clock().now(), priced.as_ref().ok());
    Ok(priced?)
}

/// Returns the known properties of a model. A run does not wait for a list if the provider ever made one. A failure to
/// list models is cached too, so that not every call waits for the provider.
pub async fn info(components: &Components, provider: &Installation, model: &str) -> ModelInfo {
    let models = match components.models.get(provider, components.store.clock().now()) {
        Some(cached) => cached.models,
        None => match last_list(components, provider).await {
            Some(models) => Some(models),
            None => refresh(components, provider).await.inspect_err(|error| warn(provider, error)).ok().map(Arc::new),
        },
    };
    let found = models.as_ref().and_then(|models| find(models, model));
    match found {
        Some(model) => ModelInfo {
            context_window: model.context_window,
            max_output_tokens: model.max_output_tokens,
            price: model.price,
            calls_tools: model.calls_tools,
        },
        None => ModelInfo { price: configured(components, &provider.name, model), ..ModelInfo::default() },
    }
}

/// Finds a model by its name. `NAME` finds `NAME:latest`, too, as services take it.
pub fn find<'m>(models: &'m [Model], name: &str) -> Option<&'m Model> {
    let is_latest = |known: &&Model| known.id.strip_suffix(":latest") == Some(name);
    models.iter().find(|known| known.id == name).or_else(|| models.iter().find(is_latest))
}

/// Returns the list in the database, and lets the provider list its models anew meanwhile.
async fn last_list(components: &Components, provider: &Installation) -> Option<Arc<Vec<Model>>> {
    let read = async { store::model_lists::get(&mut *components.store.read().await?, provider).await };
    let models = read.await.inspect_err(|error| tracing::error!(%error, "failed to read a list of models")).ok()??;
    let models = with_configured_prices(components, &provider.name, models);
    components.models.insert(provider, components.store.clock().now(), Some(&models));
    let (worker, refreshed) = (components.clone(), provider.clone());
    components.tasks.spawn("models", Policy::Job, async move {
        let refreshing = refresh(&worker, &refreshed);
        if let Some(Err(error)) = worker.tasks.shutdown().run_until_cancelled(refreshing).await {
            warn(&refreshed, &error);
        }
    });
    Some(Arc::new(models))
}

fn warn(provider: &Installation, error: &Error) {
    tracing::warn!(provider = %provider.name, %error, "failed to list the models of a provider");
}

/// Returns the price of a model in the server's configuration.
fn configured(components: &Components, provider: &Name, model: &str) -> Option<Price> {
    let prices = &components.config.prices.models;
    prices.iter().rfind(|price| price.provider == provider.as_str() && price.model == model).map(|price| price.price)
}

/// Replaces prices by those in the server's configuration, where it has some.
fn with_configured_prices(components: &Components, provider: &Name, mut models: Vec<Model>) -> Vec<Model> {
    for model in &mut models {
        model.price = configured(components, provider, &model.id).or(model.price);
    }
    models
}

impl From<plugins::models::Model> for Model {
    fn from(model: plugins::models::Model) -> Self {
        Self {
            price: model
                .price
                .and_then(|price| Price::new(price.input, price.cached_input, price.cache_write, price.output)),
            id: model.id,
            display_name: model.display_name,
            // A limit of 0 would leave no room for anything.
            context_window: model.context_window.filter(|window| *window > 0),
            max_output_tokens: model.max_output_tokens.filter(|most| *most > 0),
            calls_tools: model.calls_tools,
            reads_images: model.reads_images,
        }
    }
}
