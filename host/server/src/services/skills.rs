//! Skills: components with tools, installed for an agent.

use moxxy_store::{self as store, events};
use moxxy_types::{
    components::{Description, World},
    digest::Digest,
    error::Result,
    events::{Event, EventContext},
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
    installations::{self, Details, Place, upgrade::Upgrade},
    permissions::{self, Accept},
    source::Source,
};

/// A skill as clients see it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Skill")]
pub struct View {
    /// The name in the skill's manifest, unique for the agent.
    pub skill_id: Name,
    #[serde(flatten)]
    pub details: Details,
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
    View { skill_id: skill.name.clone(), details: Details::new(components, skill) }
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
                grants::from_consent(tx, &principal, &Candidate::new(&skill), &named).await?;
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
    components
        .store
        .write(move |tx| {
            Box::pin(async move {
                let (place, now) = (Place::Skill { agent, name: id.clone() }, tx.now());
                let skill = place.find_expected(tx, &expected, &now).await?;
                store::installations::delete(tx, skill.key).await?;
                let subject = installations::subject(&skill, &principal);
                events::record(tx, &subject, Event::SkillRemoved { skill_id: id }).await
            })
        })
        .await?;
    installations::remove_unused(components).await
}

/// Converts an upload to an upgrade that replaces the component.
impl From<Install> for Upgrade {
    fn from(Install { source, digest, accept, config }: Install) -> Self {
        Self { source: Some(source), digest, accept, revoke: Names::new(), config }
    }
}
