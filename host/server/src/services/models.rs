//! The models of providers: asked of the component, and kept for a while, as each model call needs to
//! know the window and the price of its model.

use std::sync::Arc;

use moxxy_runtime as plugins;
use moxxy_store as store;
use moxxy_types::{error::Result, events::EventContext, ids::Name, money::Price, providers::Provider};

pub use crate::services::model_lists::Model;
use crate::services::{components::Components, providers};

/// What is known of a model.
#[derive(Debug, Default)]
pub struct About {
    pub context_window: Option<u32>,
    pub max_output_tokens: Option<u32>,
    pub price: Option<Price>,
}

/// Returns the models of the provider with this id.
pub async fn list(components: &Components, id: &Name) -> Result<Vec<Model>> {
    let provider = store::providers::get(&mut *components.store.read().await?, id).await?;
    of(components, &provider).await
}

/// The models of a provider, as it told them within the last minutes, or else as it tells them now.
pub async fn of(components: &Components, provider: &Provider) -> Result<Vec<Model>> {
    match components.models.get(provider, components.store.clock().now()).and_then(|cached| cached.models) {
        Some(models) => Ok(models.to_vec()),
        None => ask(components, provider).await,
    }
}

/// Asks a provider which models it has now.
pub async fn ask(components: &Components, provider: &Provider) -> Result<Vec<Model>> {
    components.activation.check()?;
    let context = providers::context(components, provider, EventContext::default()).await?;
    let listed = components.plugins.list_models(&provider.component.digest, context).await;
    let known = |model: plugins::models::Model| Model::new(components, &provider.id, model);
    let listed = listed.map(|models| models.into_iter().map(known).collect::<Vec<_>>());
    components.models.keep(provider, components.store.clock().now(), listed.as_ref().ok());
    Ok(listed?)
}

/// What is known of a model. A provider that does not tell is not waited for at each call.
pub async fn about(components: &Components, provider: &Provider, model: &str) -> About {
    let models = match components.models.get(provider, components.store.clock().now()) {
        Some(cached) => cached.models,
        None => match ask(components, provider).await {
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
        None => About { price: configured(components, &provider.id, model), ..About::default() },
    }
}

/// The price that the configuration gives a model.
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
            // None would leave no room for anything.
            context_window: model.context_window.filter(|window| *window > 0),
            max_output_tokens: model.max_output_tokens.filter(|most| *most > 0),
        }
    }
}
