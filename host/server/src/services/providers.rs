//! Providers: components with models, installed for the whole server.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use moxxy_egress::{Target, configured};
use moxxy_runtime::{self as plugins, CallContext, Secrets};
use moxxy_schema as schema;
use moxxy_store::{self as store, Tx, events};
use moxxy_types::{
    checks::Summary,
    components::{Description, HostRequest, Manifest, World},
    digest::Digest,
    error::{Error, Result},
    events::{Event, EventContext},
    host_port::HostPort,
    ids::{Name, SecretName},
    installations::{Installation, NewInstallation},
    paging::{Page, PageRequest},
    permissions::Names,
    tokens::{Principal, Scope},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::services::{
    components::Components,
    egress::{self, CallEgress},
    etag::Expected,
    grants::{self, Candidate},
    guarantees,
    merge_patch::present,
    permissions::{self, Accept, GrantedPermissions, Permissions},
    skills,
    source::Source,
    vault::{call_secrets, secret_use::CallIdentity},
};

/// Allowed numbers of concurrent completions of a provider.
const CONCURRENCY_RANGE: std::ops::RangeInclusive<u32> = 1..=1000;

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
    /// How many of its completions run at once; others wait for their turn. `null`: as many as the server's
    /// configuration says.
    pub concurrency: Option<u32>,
    /// What its manifest asks for.
    pub asked: Permissions,
    /// What of that it has: public hosts, what its configuration names, and grants of secrets that hold
    /// now.
    pub granted: GrantedPermissions,
    /// What of that it lacks.
    pub missing: Permissions,
    /// In words, what it can never do, whatever it tries.
    pub never: Vec<String>,
    /// What came of the conformance suite, if it was checked as it is installed and configured now.
    pub check: Option<Summary>,
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

/// A change of a provider. What is absent stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ProviderPatch")]
pub struct Patch {
    /// In place of the one before.
    pub config: Option<Map<String, Value>>,
    /// How many of its completions run at once, 1 to 1000. `null`: as many as the server's configuration says.
    #[serde(default, deserialize_with = "present")]
    #[schemars(range(min = 1, max = 1000))]
    pub concurrency: Option<Option<u32>>,
    /// Secrets that it may use from now on, as at the install.
    #[serde(default)]
    pub secrets: BTreeMap<SecretName, String>,
    /// What of its wishes you consent to: names such as `host:localhost:11434 POST`, or `"all"`.
    pub accept: Option<Accept>,
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

fn view(components: &Components, provider: Installation) -> View {
    View::new(provider, &components.store.clock().timestamp(), &components.config.egress.private)
}

/// Installs a provider. If the client disconnects, the installation still completes or is cleaned up.
pub async fn install(components: &Components, principal: Principal, new: NewProvider) -> Result<View> {
    let worker = components.clone();
    let installing = async move { install_now(&worker, principal, new).await };
    Ok(view(components, components.tasks.run_detached("install", installing).await?))
}

async fn install_now(components: &Components, principal: Principal, new: NewProvider) -> Result<Installation> {
    let admitted = skills::admit(components, new.component, new.digest, World::Provider).await?;
    let component = Description::clone(&admitted.description);
    check_concurrency(new.concurrency)?;
    check(components, &component.manifest, &new.config).await?;
    let (manifest, secrets) = (component.manifest.clone(), new.secrets);
    let provider = NewInstallation {
        agent: None,
        kind: World::Provider,
        name: new.id,
        digest: component.digest.clone(),
        // Before the author's defaults are added, which are no consent.
        accepted: permissions::implied_by_config(&manifest, &new.config, &principal),
        config: with_defaults(&manifest, new.config),
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
                grants::grant_named(tx, &principal, &Candidate::new(&installed, None), &secrets).await?;
                store::installations::provider(tx, &provider.name).await
            })
        })
        .await;
    drop(admitted);
    if installed.is_err() {
        skills::try_remove_unused(components).await;
    }
    installed
}

/// Changes the configuration, the concurrency and the permissions of a provider.
pub async fn update(
    components: &Components,
    principal: Principal,
    id: Name,
    patch: Patch,
    expected: Expected,
) -> Result<View> {
    let config = Arc::clone(&components.config);
    check_concurrency(patch.concurrency.flatten())?;
    let checked = match &patch.config {
        Some(config) => Some(check_for(components, &id, config).await?),
        None => None,
    };
    let updated = components
        .store
        .write(move |tx| {
            Box::pin(async move {
                let mut provider = store::installations::provider(tx, &id).await?;
                expected.check(&View::new(provider.clone(), &tx.now(), &config.egress.private))?;
                let (before, accepted) = (provider.config.clone(), provider.accepted.clone());
                provider.concurrency = patch.concurrency.unwrap_or(provider.concurrency);
                if let Some(config) = patch.config {
                    if checked.as_ref() != Some(&provider.component.digest) {
                        let message = format!("The component of provider '{id}' was changed meanwhile; look again");
                        return Err(Error::conflict("changed_meanwhile", message));
                    }
                    let named = permissions::implied_by_config(&provider.component.manifest, &config, &principal);
                    provider.config = with_defaults(&provider.component.manifest, config);
                    retarget_grants(tx, &principal, &provider, &before).await?;
                    provider.accepted.extend(named);
                }
                let manifest = &provider.component.manifest;
                let resolved = permissions::with_configured_hosts(manifest, &provider.config);
                let accept = patch.accept.map(|accept| match accept {
                    Accept::All(_) if !principal.may(Scope::VaultWrite) => Accept::Names(Names::new()),
                    accept => accept.resolve_configured(manifest, &provider.config),
                });
                Accept::check_scope(accept.as_ref(), &resolved, &principal)?;
                let named = Accept::resolve(accept, &resolved, &principal)?;
                provider.accepted.extend(named.iter().cloned());
                provider.accepted = permissions::retain_requested(provider.accepted, manifest, &provider.config);
                store::installations::update(tx, &provider).await?;
                let candidate = Candidate::new(&provider, None);
                grants::check_hosts(tx, &principal, &candidate, provider.accepted.difference(&accepted)).await?;
                grants::from_consent(tx, &principal, &candidate, &named).await?;
                grants::grant_named(tx, &principal, &candidate, &patch.secrets).await?;
                let changed = changed(&before, &provider.config);
                let Installation { concurrency, accepted, .. } = provider;
                let event = Event::ProviderUpdated { provider_id: id.clone(), changed, concurrency, accepted };
                events::record(tx, &EventContext::default().by(principal.name()), event).await?;
                store::installations::provider(tx, &id).await
            })
        })
        .await?;
    components.concurrency.resize(&updated.name, updated.max_concurrency(components.config.providers.concurrency));
    Ok(view(components, updated))
}

/// Checks a configuration against the current component of a provider, and returns the component's digest.
async fn check_for(components: &Components, id: &Name, config: &Map<String, Value>) -> Result<Digest> {
    let Description { digest, manifest, .. } =
        store::installations::provider(&mut *components.store.read().await?, id).await?.component;
    check(components, &manifest, config).await?;
    Ok(digest)
}

/// Checks a configuration against the component's schema.
async fn check(components: &Components, manifest: &Manifest, config: &Map<String, Value>) -> Result<()> {
    let wrong = components.plugins.check_config(manifest, Value::Object(config.clone())).await?;
    schema::reject_mismatches("invalid_input", "config", wrong)
}

fn check_concurrency(concurrency: Option<u32>) -> Result<()> {
    match concurrency {
        Some(most) if !CONCURRENCY_RANGE.contains(&most) => {
            Err(Error::invalid_field("concurrency", "it is a number from 1 to 1000"))
        }
        _ => Ok(()),
    }
}

/// Adds the component's default hosts to a configuration that does not set them.
fn with_defaults(manifest: &Manifest, mut config: Map<String, Value>) -> Map<String, Value> {
    for option in manifest.hosts.iter().filter_map(|request| request.host.strip_prefix("config:")) {
        let default =
            manifest.config_schema.as_ref().and_then(|schema| schema.get("properties")?.get(option)?.get("default"));
        if let (false, Some(Value::String(default))) = (config.contains_key(option), default) {
            config.insert(option.to_owned(), Value::String(default.clone()));
        }
    }
    config
}

/// Updates the hosts of grants after the hosts in the configuration changed.
async fn retarget_grants(
    tx: &mut Tx,
    principal: &Principal,
    provider: &Installation,
    before: &Map<String, Value>,
) -> Result<()> {
    let options = provider.component.manifest.hosts.iter().filter_map(|request| request.host.strip_prefix("config:"));
    for option in options {
        let (from, to) = (configured::origin(option, before), configured::origin(option, &provider.config));
        let same = from.as_ref().zip(to.as_ref()).is_some_and(|(from, to)| to.has_same_origin(from));
        if !same {
            let destination = |origin: Target| permissions::destination(&origin);
            let (from, to) = (from.map(destination), to.map(destination));
            grants::retarget_hosts(tx, principal, provider.key, from, to).await?;
        }
    }
    Ok(())
}

/// Returns the options that differ.
fn changed(old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<String> {
    let options: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    options.into_iter().filter(|option| old.get(*option) != new.get(*option)).cloned().collect()
}

pub async fn remove(components: &Components, principal: Principal, id: Name, expected: Expected) -> Result<()> {
    let (config, gone) = (Arc::clone(&components.config), id.clone());
    components
        .store
        .write(move |tx| {
            Box::pin(async move {
                let provider = store::installations::provider(tx, &id).await?;
                let key = provider.key;
                expected.check(&View::new(provider, &tx.now(), &config.egress.private))?;
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
    skills::remove_unused(components).await
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

impl View {
    /// Builds the view at the time `now`. `private`: private addresses that are open to every component.
    pub fn new(provider: Installation, now: &str, private: &[HostPort]) -> Self {
        let resolved = permissions::with_configured_hosts(&provider.component.manifest, &provider.config);
        // For a configured host, only the configured port counts.
        let configured = |request| configured::host_and_port(request, &provider.config);
        let configured: Vec<_> = provider.component.manifest.hosts.iter().filter_map(configured).collect();
        let counts =
            |peer: &&HostPort| configured.contains(peer) || !configured.iter().any(|own| own.host == peer.host);
        let private: Vec<_> = private.iter().filter(counts).cloned().collect();
        // Installing a provider is consent to its public hosts.
        let accepted = resolved.hosts.iter().map(permissions::host_permission).chain(provider.accepted).collect();
        let (_, granted, mut missing) = permissions::summarize(&resolved, &accepted, &provider.grants, now, &private);
        // As the manifest requests them, with `config:NAME` unresolved.
        let wishes = provider.component.manifest.hosts.iter().zip(&resolved.hosts);
        let lacking = |(_, wish): &(&HostRequest, &HostRequest)| missing.hosts.contains(wish);
        missing.hosts = wishes.filter(lacking).map(|(wish, _)| wish.clone()).collect();
        let never = guarantees::list(&provider.component, &granted);
        let manifest = provider.component.manifest;
        let asked = Permissions { hosts: manifest.hosts, secrets: manifest.secrets };
        Self {
            id: provider.name,
            name: manifest.name,
            version: manifest.version,
            description: manifest.description,
            digest: provider.component.digest,
            config: provider.config,
            concurrency: provider.concurrency,
            asked,
            granted,
            missing,
            never,
            check: provider.check,
            created_at: provider.created_at,
            updated_at: provider.updated_at,
        }
    }
}
