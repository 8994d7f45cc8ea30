//! Skills: components with tools, installed for an agent.

use std::sync::Arc;

use moxxy_store::{self as store, events};
use moxxy_types::{
    components::{Description, Tool, World},
    digest::Digest,
    error::Result,
    events::{Event, EventContext},
    host_port::HostPort,
    ids::Name,
    installations::{Installation, NewInstallation},
    paging::{Page, PageRequest},
    permissions::Names,
    tokens::Principal,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::services::{
    components::Components,
    etag::Expected,
    grants::{self, Candidate},
    guarantees,
    installations::{self, Place, upgrade::Upgrade},
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
    /// Where the component comes from: one of these. Earlier called `source`, which is still accepted.
    #[serde(rename = "component", alias = "source")]
    pub source: Source,
    /// Of the component; another one is refused.
    pub digest: Option<Digest>,
    /// What of its wishes you consent to: names such as `host:api.example.com GET`, or `"all"`.
    /// Nothing if absent; a name that it does not ask for is refused. Secrets, and hosts with a port,
    /// which may be private, take `vault:write`; without it they are missing.
    pub accept: Option<Accept>,
    /// Configuration, as described by the component's `config_schema`. Naming a public host in it is consent to that
    /// host; a host that is not public requires `vault:write`.
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
    let admitted = installations::admit(components, source, digest, World::Skill).await?;
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
        installations::try_remove_unused(components).await;
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
    installations::remove_unused(components).await
}

/// Returns the place of a skill. `expected` is the version of its view that the client means.
pub fn place(agent: Name, name: Name, expected: Expected) -> Place {
    let check =
        |expected: &Expected, skill, now: &str, private: &[HostPort]| expected.check(&View::new(skill, now, private));
    Place { agent: Some(agent), name, expected, check }
}

/// Converts an upload to an upgrade that replaces the component.
impl From<Install> for Upgrade {
    fn from(Install { source, digest, accept, config }: Install) -> Self {
        Self { source: Some(source), digest, accept, revoke: Names::new(), config }
    }
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
