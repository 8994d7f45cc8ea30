//! Skills: components with tools, installed for an agent.

use std::collections::BTreeMap;

use moxxy_store as store;
use moxxy_types::{
    components::World,
    digest::Digest,
    error::Result,
    ids::{self, Name},
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

/// A skill as clients see it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Skill")]
pub struct View {
    /// The name in the skill's manifest, unique for the agent.
    #[serde(flatten, serialize_with = "ids::OwnSkillId::serialize")]
    #[schemars(with = "ids::OwnSkillId")]
    pub skill_id: Name,
    /// Whether the skill is installed for the server and enabled for the agent. It is changed under
    /// `/v1/components/{installation_id}`.
    pub shared: bool,
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
    let skills = store::installations::page_of_skills(&mut db, key, page).await?;
    Ok(page.cut(skills, |skill| skill.name.to_string()).map(|skill| view(components, skill)))
}

pub async fn get(components: &Components, agent: &Name, id: &Name) -> Result<View> {
    let mut db = components.store.read().await?;
    let key = store::agents::get(&mut db, agent).await?.key;
    Ok(view(components, store::installations::skill(&mut db, key, id).await?))
}

pub fn view(components: &Components, skill: Installation) -> View {
    View { skill_id: skill.name.clone(), shared: skill.agent.is_none(), details: Details::new(components, skill) }
}

/// Installs a skill for an agent.
pub async fn install(components: &Components, principal: Principal, agent: Name, new: Install) -> Result<View> {
    let Install { source, digest, accept, config } = new;
    let new = NewInstallation {
        source,
        digest,
        name: None,
        agent_id: Some(agent),
        agents: None,
        config,
        accept,
        secrets: BTreeMap::new(),
        concurrency: None,
    };
    Ok(view(components, install::install(components, principal, new, Some(World::Skill)).await?))
}

impl Versioned for View {
    fn version(&self) -> Result<String> {
        self.details.etag.version()
    }
}
