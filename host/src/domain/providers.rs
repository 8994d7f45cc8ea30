//! Providers: components with models, installed for the whole server.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    consent::{self, Names, Permissions},
    skills,
    source::Source,
    version::Expected,
};
use crate::{
    app::App,
    digest::Digest,
    error::{Error, Result},
    events::{self, Event, Subject},
    ids::Name,
    plugins::{self, CallContext, Description, World},
    store,
};

#[derive(Debug, Clone)]
pub struct Provider {
    pub id: Name,
    pub component: Description,
    pub config: Map<String, Value>,
    pub created_at: String,
    pub updated_at: String,
}

/// A provider as clients see it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Provider")]
pub struct View {
    /// What it was installed as; agents name it so.
    pub id: Name,
    /// What it calls itself.
    pub name: Name,
    /// As its manifest says.
    pub version: String,
    /// In its own words.
    pub description: String,
    pub digest: Digest,
    /// Its configuration, as it was given.
    pub config: Map<String, Value>,
    /// What its manifest asks for.
    pub asked: Permissions,
    /// What of that it has. Nothing, in this version.
    pub granted: Permissions,
    /// What of that it lacks.
    pub missing: Permissions,
    /// When it was installed (RFC 3339, UTC).
    pub created_at: String,
    /// When its configuration was last changed (RFC 3339, UTC).
    pub updated_at: String,
}

/// A provider to be installed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProvider {
    /// What it goes by from now on, and what agents name.
    pub id: Name,
    /// Where its component comes from: one of these.
    pub component: Source,
    /// Of the component; another one is refused.
    pub digest: Option<Digest>,
    /// What it is configured with, as it documents. Empty if absent.
    #[serde(default)]
    pub config: Map<String, Value>,
}

/// A model of a provider.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Model {
    /// What agents name it by.
    pub id: String,
    /// What people call it.
    pub display_name: Option<String>,
    /// How many tokens it reads at most, if that is known.
    pub context_window: Option<u32>,
    /// How many tokens it writes at most, if that is known.
    pub max_output_tokens: Option<u32>,
}

/// Installs a provider. One whose client leaves meanwhile is installed all the same, or cleaned up
/// after.
pub async fn install(app: &App, new: NewProvider) -> Result<Provider> {
    let worker = app.clone();
    app.tasks.carry_out("install", async move { take_in(&worker, new).await }).await
}

async fn take_in(app: &App, new: NewProvider) -> Result<Provider> {
    let admitted = skills::admit(app, new.component, new.digest, World::Provider).await?;
    let component = Description::clone(&admitted.description);
    let now = app.store.clock().timestamp();
    let provider = Provider { id: new.id, component, config: new.config, created_at: now.clone(), updated_at: now };
    let installed = app
        .store
        .write(move |tx| {
            Box::pin(async move {
                store::components::insert(tx, &provider.component).await?;
                store::providers::insert(tx, &provider).await?;
                let event = Event::ProviderInstalled {
                    provider_id: provider.id.clone(),
                    digest: provider.component.digest.clone(),
                    version: provider.component.manifest.version.clone(),
                };
                events::record(tx, &Subject::default(), event).await?;
                Ok(provider)
            })
        })
        .await;
    drop(admitted);
    if installed.is_err() {
        skills::tidy(app).await;
    }
    installed
}

/// Replaces the configuration.
pub async fn configure(app: &App, id: Name, config: Map<String, Value>, expected: Expected) -> Result<Provider> {
    app.store
        .write(move |tx| {
            Box::pin(async move {
                let mut provider = store::providers::get(tx, &id).await?;
                expected.check(&View::from(provider.clone()))?;
                provider.config = config;
                store::providers::update_config(tx, &provider).await?;
                store::providers::get(tx, &id).await
            })
        })
        .await
}

pub async fn remove(app: &App, id: Name, expected: Expected) -> Result<()> {
    app.store
        .write(move |tx| {
            Box::pin(async move {
                expected.check(&View::from(store::providers::get(tx, &id).await?))?;
                let agents = store::agents::of_provider(tx, &id).await?;
                if !agents.is_empty() {
                    let message = format!("Provider '{id}' is used by: {}", agents.join(", "));
                    return Err(Error::conflict("provider_in_use", message));
                }
                store::providers::delete(tx, &id).await?;
                events::record(tx, &Subject::default(), Event::ProviderRemoved { provider_id: id }).await
            })
        })
        .await?;
    skills::collect(app).await
}

/// Asks a provider which models it has.
pub async fn models(app: &App, provider: &Provider) -> Result<Vec<Model>> {
    let models = app.plugins.list_models(&provider.component.digest, context(provider)).await?;
    Ok(models.into_iter().map(Model::from).collect())
}

/// What a call of the provider may use.
pub fn context(provider: &Provider) -> CallContext {
    CallContext { config: plugins::Config::from(&provider.config), ..CallContext::new(provider.id.clone()) }
}

impl From<plugins::models::Model> for Model {
    fn from(model: plugins::models::Model) -> Self {
        Self {
            id: model.id,
            display_name: model.display_name,
            context_window: model.context_window,
            max_output_tokens: model.max_output_tokens,
        }
    }
}

impl From<Provider> for View {
    fn from(provider: Provider) -> Self {
        let manifest = provider.component.manifest;
        // There is no consent for providers yet, so all that is asked is missing.
        let [asked, granted, missing] = consent::permissions(&manifest, &Names::new());
        Self {
            id: provider.id,
            name: manifest.name,
            version: manifest.version,
            description: manifest.description,
            digest: provider.component.digest,
            config: provider.config,
            asked,
            granted,
            missing,
            created_at: provider.created_at,
            updated_at: provider.updated_at,
        }
    }
}
