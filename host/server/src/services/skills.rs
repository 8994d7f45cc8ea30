//! Skills: components with tools, installed for an agent.

use std::sync::Arc;

use moxxy_runtime::Prepared;
use moxxy_store::{self as store, events};
use moxxy_system::tasks;
use moxxy_types::{
    components::{Description, Tool, World},
    digest::Digest,
    error::{Error, Result},
    events::{Event, EventContext},
    host_port::HostPort,
    ids::Name,
    installations::{Installation, NewInstallation},
    paging::{Page, PageRequest},
    tokens::Principal,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::RwLockReadGuard;

use crate::services::{
    components::Components,
    etag::Expected,
    grants::{self, Candidate},
    guarantees, installations,
    permissions::{self, Accept, GrantedPermissions, Permissions},
    source::Source,
};

/// A skill as clients see it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Skill")]
pub struct View {
    /// What its manifest calls it; unique for the agent.
    pub skill_id: Name,
    /// As its manifest says.
    pub version: String,
    /// In its own words.
    pub description: String,
    pub digest: Digest,
    /// Of the upload, in bytes.
    pub size: usize,
    /// What the model can call, as `skill__tool`.
    pub tools: Vec<Tool>,
    /// Its configuration.
    pub config: Map<String, Value>,
    /// The JSON Schema of its configuration, if it can be configured.
    pub config_schema: Option<Value>,
    /// What its manifest asks for.
    pub asked: Permissions,
    /// What of that it has: hosts that `accept` named, and grants of secrets that hold now.
    pub granted: GrantedPermissions,
    /// What of that it lacks: a tool that needs it fails and says what would grant it.
    pub missing: Permissions,
    /// In words, what it can never do, whatever it tries.
    pub never: Vec<String>,
    /// Always `unsigned`: signatures are not checked in this version.
    pub signature: &'static str,
    /// The digest that a rollback goes to.
    pub previous: Option<Digest>,
    /// When it was installed (RFC 3339, UTC).
    pub created_at: String,
}

/// What is to be installed, or to take the place of another version.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Install {
    /// Where the component comes from: one of these.
    pub source: Source,
    /// Of the component; another one is refused.
    pub digest: Option<Digest>,
    /// What of its wishes you consent to: names such as `host:api.example.com GET`, or `"all"`.
    /// Nothing if absent; a name that it does not ask for is refused. Secrets, and hosts with a port,
    /// which may be private, take `vault:write`; without it they are missing.
    pub accept: Option<Accept>,
    /// What it is configured with, as its `config_schema` says. A public host that it names is consented to; one that
    /// is not public takes `vault:write`.
    #[serde(default)]
    pub config: Map<String, Value>,
}

/// Returns a page of an agent's skills, by name.
pub async fn list(components: &Components, agent: &Name, page: &PageRequest) -> Result<Page<View>> {
    let mut db = components.store.read().await?;
    let key = store::agents::get(&mut db, agent).await?.key;
    let skills = page
        .cut(store::installations::page(&mut db, Some(key), World::Skill, page).await?, |skill| skill.name.to_string());
    Ok(skills.map(|skill| view(components, skill)))
}

pub async fn get(components: &Components, agent: &Name, id: &Name) -> Result<View> {
    let mut db = components.store.read().await?;
    let key = store::agents::get(&mut db, agent).await?.key;
    Ok(view(components, store::installations::skill(&mut db, key, id).await?))
}

pub fn view(components: &Components, skill: Installation) -> View {
    View::new(skill, &components.store.clock().timestamp(), &components.config.egress.private)
}

/// Installs a skill under its manifest's name. If the client disconnects, the installation still completes or is
/// cleaned up.
pub async fn install(components: &Components, principal: Principal, agent: Name, install: Install) -> Result<View> {
    let worker = components.clone();
    let installing = async move { install_now(&worker, principal, agent, install).await };
    Ok(view(components, components.tasks.run_detached("install", installing).await?))
}

async fn install_now(
    components: &Components,
    principal: Principal,
    agent: Name,
    install: Install,
) -> Result<Installation> {
    let Install { source, digest, accept, config } = install;
    store::agents::get(&mut *components.store.read().await?, &agent).await?;
    let admitted = admit(components, source, digest, World::Skill).await?;
    let component = Description::clone(&admitted.description);
    installations::check(components, &component.manifest, &config).await?;
    let (id, subject) = (component.manifest.name.clone(), EventContext::agent(&agent).by(principal.name()));
    let installed = components
        .store
        .write(move |tx| {
            Box::pin(async move {
                let key = store::agents::get(tx, &agent).await?.key;
                let implied = permissions::implied_by_config(World::Skill, &component.manifest, &config, &principal);
                let config = installations::with_defaults(&component.manifest, config);
                let resolved = permissions::with_configured_hosts(&component.manifest, &config);
                let accept = accept.map(|accept| accept.resolve_configured(&component.manifest, &config));
                let mut accepted = Accept::resolve(accept, &resolved, &principal)?;
                let named = accepted.clone();
                accepted.extend(implied);
                store::components::insert(tx, &component).await?;
                let new = NewInstallation {
                    agent: Some(key),
                    kind: World::Skill,
                    name: id.clone(),
                    digest: component.digest.clone(),
                    config,
                    accepted: accepted.clone(),
                    concurrency: None,
                };
                store::installations::insert(tx, &new).await?;
                let skill = store::installations::skill(tx, key, &id).await?;
                grants::from_consent(tx, &principal, &Candidate::new(&skill, Some(&agent)), &named).await?;
                let event = Event::SkillInstalled {
                    skill_id: id.clone(),
                    digest: component.digest,
                    version: component.manifest.version,
                    tools: component.tools.into_iter().map(|tool| tool.name).collect(),
                    accepted,
                };
                events::record(tx, &subject, event).await?;
                store::installations::skill(tx, key, &id).await
            })
        })
        .await;
    drop(admitted);
    if installed.is_err() {
        try_remove_unused(components).await;
    }
    installed
}

pub async fn remove(
    components: &Components,
    principal: Principal,
    agent: Name,
    id: Name,
    expected: Expected,
) -> Result<()> {
    let config = Arc::clone(&components.config);
    components
        .store
        .write(move |tx| {
            Box::pin(async move {
                let key = store::agents::get(tx, &agent).await?.key;
                let skill = store::installations::skill(tx, key, &id).await?;
                let installation = skill.key;
                expected.check(&View::new(skill, &tx.now(), &config.egress.private))?;
                store::installations::delete(tx, installation).await?;
                let subject = EventContext::agent(&agent).by(principal.name());
                events::record(tx, &subject, Event::SkillRemoved { skill_id: id }).await
            })
        })
        .await?;
    remove_unused(components).await
}

/// An admitted component. While this exists, no unused components are removed.
pub struct Admitted<'a> {
    prepared: Arc<Prepared>,
    _installing: RwLockReadGuard<'a, ()>,
}

impl std::ops::Deref for Admitted<'_> {
    type Target = Prepared;
    fn deref(&self) -> &Prepared {
        &self.prepared
    }
}

/// Returns an error if the digest is not the one that the client expects.
pub fn same_digest(expected: Option<Digest>, actual: &Digest) -> Result<()> {
    match expected.filter(|expected| expected != actual) {
        Some(expected) => {
            let message = format!("The component's digest is {actual}, not {expected}");
            Err(Error::invalid("digest_mismatch", message))
        }
        None => Ok(()),
    }
}

/// Reads, checks and compiles the component of a skill or a provider.
pub async fn admit(
    components: &Components,
    source: Source,
    digest: Option<Digest>,
    world: World,
) -> Result<Admitted<'_>> {
    let installing = components.installing.read().await;
    let (limit, folders) = (components.config.server.upload_limit, components.config.plugins.folders.clone());
    let source = match source {
        Source::Url(_) if digest.is_none() => {
            let reason = "a component that is downloaded has to be the one that you mean: give its digest";
            return Err(Error::invalid_field("digest", reason));
        }
        Source::Url(url) => Source::Upload(installations::download(components, &url, limit).await?),
        other => other,
    };
    // Decoding and hashing megabytes blocks the thread.
    let read = move || source.bytes(limit, &folders, world).map(|bytes| (Digest::compute(&bytes), bytes));
    let (actual, bytes) = tasks::blocking(read).await??;
    same_digest(digest, &actual)?;
    let prepared = components.plugins.admit(actual, bytes).await?;
    let admitted = Admitted { prepared, _installing: installing };
    let found = admitted.description.world;
    if found != world {
        let place = match found {
            World::Skill => "POST /v1/agents/{name}/skills/install",
            World::Provider => "POST /v1/providers",
        };
        drop(admitted);
        try_remove_unused(components).await;
        return Err(Error::invalid(
            "wrong_world",
            format!("The component is a {}; install it by {place}", found.into_str()),
        ));
    }
    Ok(admitted)
}

/// Removes unused components like [`remove_unused`], but only logs a failure.
pub async fn try_remove_unused(components: &Components) {
    if let Err(error) = remove_unused(components).await {
        tracing::error!(error = ?error, "failed to remove unused components");
    }
}

/// Removes unused components. During an installation it does nothing: the next removal or start removes them.
pub async fn remove_unused(components: &Components) -> Result<()> {
    let Ok(_alone) = components.installing.try_write() else { return Ok(()) };
    let used = match components.store.write(|tx| Box::pin(store::components::delete_unused(tx))).await {
        // On a full disk, components that were not installed must be removed all the more.
        Err(error) if error.is_storage_error() => {
            store::components::digests(&mut *components.store.read().await?).await?
        }
        done => done?,
    };
    components.plugins.retain(&used).await
}

impl View {
    /// Builds the view at the time `now`. `private`: private addresses that are open to every component.
    pub fn new(skill: Installation, now: &str, private: &[HostPort]) -> Self {
        let (asked, granted, missing) = permissions::summarize_installation(&skill, now, private);
        let component = skill.component;
        let never = guarantees::list(&component, &granted);
        Self {
            skill_id: skill.name,
            version: component.manifest.version,
            description: component.manifest.description,
            digest: component.digest,
            size: component.size,
            tools: component.tools,
            config: skill.config,
            config_schema: component.manifest.config_schema,
            asked,
            granted,
            missing,
            never,
            signature: "unsigned",
            previous: skill.previous,
            created_at: skill.created_at,
        }
    }
}
