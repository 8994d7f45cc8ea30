//! Models of providers, listed by the component and cached.

use std::sync::Arc;

use moxxy_runtime as plugins;
use moxxy_store as store;
use moxxy_types::{error::Result, events::EventContext, ids::Name, installations::Installation, money::Price};

pub use crate::services::model_lists::Model;
use crate::services::{components::Components, providers};

/// Known properties of a model.
#[derive(Debug, Default)]
pub struct ModelInfo {
    pub context_window: Option<u32>,
    pub max_output_tokens: Option<u32>,
    pub price: Option<Price>,
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

/// Lists the models of a provider without the cache, and caches the result.
pub async fn refresh(components: &Components, provider: &Installation) -> Result<Vec<Model>> {
    components.activation.check()?;
    let context = providers::context(components, provider, EventContext::default()).await?;
    let listed = components.plugins.list_models(&provider.component.digest, context).await;
    let known = |model: plugins::models::Model| Model::new(components, &provider.name, model);
    let listed = listed.map(|models| models.into_iter().map(known).collect::<Vec<_>>());
    components.models.insert(provider, components.store.clock().now(), listed.as_ref().ok());
    Ok(listed?)
}

/// Returns the known properties of a model. A failure to list models is cached too, so that not every call waits for
/// the provider.
pub async fn info(components: &Components, provider: &Installation, model: &str) -> ModelInfo {
    let models = match components.models.get(provider, components.store.clock().now()) {
        Some(cached) => cached.models,
        None => match refresh(components, provider).await {
            Ok(models) => Some(Arc::new(models)),
            Err(error) => {
                tracing::warn!(provider = %provider.name, %error, "failed to list the models of a provider");
                None
            }
        },
    };
    let found = models.iter().flat_map(|models| models.iter()).find(|known| known.id == model);
    match found {
        Some(model) => ModelInfo {
            context_window: model.context_window,
            max_output_tokens: model.max_output_tokens,
            price: model.price,
        },
        None => ModelInfo { price: configured(components, &provider.name, model), ..ModelInfo::default() },
    }
}

/// Returns the price of a model in the server's configuration.
fn configured(components: &Components, provider: &Name, model: &str) -> Option<Price> {
    let prices = &components.config.prices.models;
    prices.iter().rfind(|price| price.provider == provider.as_str() && price.model == model).map(|price| price.price)
}

impl Model {
    fn new(components: &Components, provider: &Name, model: plugins::models::Model) -> Self {
        let told = model.price.and_then(|price| Price::new(price.input, price.cached_input, price.output));
        Self {
            price: configured(components, provider, &model.id).or(told),
            id: model.id,
            display_name: model.display_name,
            // A limit of 0 would leave no room for anything.
            context_window: model.context_window.filter(|window| *window > 0),
            max_output_tokens: model.max_output_tokens.filter(|most| *most > 0),
        }
    }
}
