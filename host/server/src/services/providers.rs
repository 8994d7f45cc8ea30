//! Providers: components with models, installed for the whole server.

use std::{collections::BTreeMap, sync::Arc};

use moxxy_runtime::{self as plugins, CallContext, Secrets};
use moxxy_store::{self as store, events};
use moxxy_types::{
    components::{Description, World},
    digest::Digest,
    error::{Error, Result},
    events::{Event, EventContext},
    ids::{Name, SecretName},
    installations::{Installation, NewInstallation},
    paging::{Page, PageRequest},
    tokens::Principal,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::services::{
    components::Components,
    egress::{self, CallEgress},
    etag::Expected,
    grants::{self, Candidate},
    installations::{self, Details, Place, configure},
    permissions,
    source::Source,
    vault::{call_secrets, secret_use::CallIdentity},
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
    /// What it goes by from now on, and what agents name.
    pub id: Name,
    /// Where its component comes from: one of these.
    pub component: Source,
    /// Of the component; another one is refused.
    pub digest: Option<Digest>,
    /// What it is configured with, as it documents. Empty if absent. To name a host that is not public
    /// here takes `vault:write`; otherwise it is missing.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// How many of its completions run at once, 1 to 1000; others wait for their turn. `null`: as many as the
    /// server's configuration says.
    #[schemars(range(min = 1, max = 1000))]
    pub concurrency: Option<u32>,
    /// Secrets that it may use: the vault's names or ids, by the names that it has for them. Takes
    /// `vault:write`.
    #[serde(default)]
    pub secrets: BTreeMap<SecretName, String>,
}

/// Returns a page of providers, by name.
pub async fn list(components: &Components, page: &PageRequest) -> Result<Page<View>> {
    let providers =
        store::installations::page(&mut *components.store.read().await?, None, World::Provider, page).await?;
    Ok(page.cut(providers, |provider| provider.name.to_string()).map(|provider| view(components, provider)))
}

pub async fn get(components: &Components, id: &Name) -> Result<View> {
    Ok(view(components, store::installations::provider(&mut *components.store.read().await?, id).await?))
}

pub fn view(components: &Components, provider: Installation) -> View {
    let (id, name) = (provider.name.clone(), provider.component.manifest.name.clone());
    View { id, name, details: Details::new(components, provider) }
}

/// Installs a provider. If the client disconnects, the installation still completes or is cleaned up.
pub async fn install(components: &Components, principal: Principal, new: NewProvider) -> Result<View> {
    let worker = components.clone();
    let installing = async move { install_now(&worker, principal, new).await };
    Ok(view(components, components.tasks.run_detached("install", installing).await?))
}

async fn install_now(components: &Components, principal: Principal, new: NewProvider) -> Result<Installation> {
    let admitted = installations::admit(components, new.component, new.digest, World::Provider).await?;
    let component = Description::clone(&admitted.description);
    configure::check_concurrency(new.concurrency)?;
    installations::check(components, &component.manifest, &new.config).await?;
    let (manifest, secrets) = (component.manifest.clone(), new.secrets);
    let provider = NewInstallation {
        agent: None,
        kind: World::Provider,
        name: new.id,
        digest: component.digest.clone(),
        // Before the author's defaults are added, which are no consent.
        accepted: permissions::implied_by_config(World::Provider, &manifest, &new.config, &principal),
        config: installations::with_defaults(&manifest, new.config),
        concurrency: new.concurrency,
    };
    let installed = components
        .store
        .write(move |tx| {
            Box::pin(async move {
                store::components::insert(tx, &component).await?;
                store::installations::insert(tx, &provider).await?;
                let event = Event::ProviderInstalled {
                    provider_id: provider.name.clone(),
                    digest: provider.digest,
                    version: manifest.version,
                };
                events::record(tx, &EventContext::default().by(principal.name()), event).await?;
                let installed = store::installations::provider(tx, &provider.name).await?;
                grants::grant_named(tx, &principal, &Candidate::new(&installed), &secrets).await?;
                store::installations::provider(tx, &provider.name).await
            })
        })
        .await;
    drop(admitted);
    if installed.is_err() {
        installations::try_remove_unused(components).await;
    }
    installed
}

pub async fn remove(components: &Components, principal: Principal, id: Name, expected: Expected) -> Result<()> {
    let gone = id.clone();
    components
        .store
        .write(move |tx| {
            Box::pin(async move {
                let now = tx.now();
                let key = Place::Provider(id.clone()).find_expected(tx, &expected, &now).await?.key;
                let agents = store::agents::of_provider(tx, &id).await?;
                if !agents.is_empty() {
                    let message = format!("Provider '{id}' is used by: {}", agents.join(", "));
                    return Err(Error::conflict("provider_in_use", message));
                }
                store::installations::delete(tx, key).await?;
                events::record(
                    tx,
                    &EventContext::default().by(principal.name()),
                    Event::ProviderRemoved { provider_id: id },
                )
                .await
            })
        })
        .await?;
    components.models.forget(&gone);
    components.concurrency.forget(&gone);
    installations::remove_unused(components).await
}

/// Returns the context of a call to the provider: its configuration, secrets and egress.
pub async fn context(components: &Components, provider: &Installation, subject: EventContext) -> Result<CallContext> {
    let (manifest, subject) = (&provider.component.manifest, subject.by_component(&provider.name));
    let call_identity = CallIdentity {
        holder: provider.key,
        agent: None,
        component: provider.name.clone(),
        digest: provider.component.digest.clone(),
        subject: subject.clone(),
    };
    let secrets = call_secrets::CallSecrets::load(&components.vault, call_identity, manifest).await?;
    let outgoing = CallEgress::new(
        components,
        &provider.name,
        subject,
        egress::of_provider(components, provider),
        secrets.as_ref(),
    );
    Ok(CallContext {
        config: plugins::Config::from(&provider.config),
        secrets: secrets.map(|secrets| secrets as Arc<dyn Secrets>),
        outgoing: Some(outgoing),
        ..CallContext::new(provider.name.clone())
    })
}
