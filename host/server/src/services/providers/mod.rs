//! Providers: components with models, installed for the whole server.

pub mod trial;

use std::collections::BTreeMap;

use moxxy_store as store;
use moxxy_types::{
    components::World,
    digest::Digest,
    error::Result,
    ids::{Name, SecretName},
    installations::Installation,
    paging::{Page, PageRequest},
    tokens::Principal,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::services::{
    components::Components,
    etag::Versioned,
    installations::{
        install::{self, NewInstallation},
        view::Details,
    },
    permissions::Accept,
    source::Source,
};

/// A provider as clients see it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Provider")]
pub struct View {
    /// The name that agents use.
    pub id: Name,
    /// The name in the component's manifest.
    pub name: Name,
    #[serde(flatten)]
    pub details: Details,
}

/// A provider to be installed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProvider {
    /// Name of the provider, which agents use.
    pub id: Name,
    /// Where the component comes from: one of these.
    #[serde(alias = "source")]
    pub component: Source,
    /// Expected digest of the component. Required with `url`.
    pub digest: Option<Digest>,
    /// Configuration, as described by the component's `config_schema`. A host in it that is not public requires
    /// `vault:write`.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// Maximum number of concurrent completions, 1 to 1000. `null`: the server's default.
    #[schemars(range(min = 1, max = 1000))]
    pub concurrency: Option<u32>,
    /// Requested permissions that you consent to beyond the public hosts: names such as `host:localhost:11434 POST`, or
    /// `"all"`. Secrets, and hosts with a port, require `vault:write`.
    pub accept: Option<Accept>,
    /// Secrets to grant: maps the component's name of each secret to its name or id in the vault. Requires
    /// `vault:write`.
    #[serde(default)]
    pub secrets: BTreeMap<SecretName, String>,
}

/// Returns a page of providers, by name.
pub async fn list(components: &Components, page: &PageRequest) -> Result<Page<View>> {
    let providers = store::installations::page_of_providers(&mut *components.store.read().await?, page).await?;
    Ok(page.cut(providers, |provider| provider.name.to_string()).map(|provider| view(components, provider)))
}

pub async fn get(components: &Components, id: &Name) -> Result<View> {
    Ok(view(components, store::installations::provider(&mut *components.store.read().await?, id).await?))
}

pub fn view(components: &Components, provider: Installation) -> View {
    let (id, name) = (provider.name.clone(), provider.component.manifest.name.clone());
    View { id, name, details: Details::new(components, provider) }
}

/// Installs a provider.
pub async fn install(components: &Components, principal: Principal, new: NewProvider) -> Result<View> {
    let NewProvider { id, component, digest, config, concurrency, accept, secrets } = new;
    let new = NewInstallation {
        source: component,
        digest,
        name: Some(id),
        agent_id: None,
        agents: None,
        config,
        accept,
        secrets,
        concurrency,
    };
    Ok(view(components, install::install(components, principal, new, Some(World::Provider)).await?))
}

impl Versioned for View {
    fn version(&self) -> Result<String> {
        self.details.etag.version()
    }
}
