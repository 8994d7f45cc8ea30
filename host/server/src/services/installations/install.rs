//! Installation of components of every kind, for an agent or for the server.

use std::collections::BTreeMap;

use moxxy_store::{self as store, Tx, events};
use moxxy_types::{
    components::{Description, World},
    digest::Digest,
    error::{Error, Result},
    events::Event,
    ids::{Name, SecretName},
    installations::{self, EnabledAgents, Installation},
    tokens::Principal,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::services::{
    components::Components,
    grants::{self, Candidate},
    installations::{admit, configuration, configure, keys, shared, subject},
    permissions::{self, Accept},
    source::Source,
};

/// A component to be installed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInstallation {
    /// Where the component comes from: one of these.
    #[serde(rename = "component", alias = "source")]
    pub source: Source,
    /// Expected digest of the component. Required with `url`.
    pub digest: Option<Digest>,
    /// Name of the installation. Absent: the name in the manifest, which a skill always has.
    pub name: Option<Name>,
    /// Agent that a skill is installed for. Absent: the server.
    pub agent_id: Option<Name>,
    /// Agents that may use a skill of the server: names, or `"all"`. Absent: none.
    pub agents: Option<EnabledAgents>,
    /// Configuration, as described by the component's `config_schema`. A host in it that is not public requires
    /// `vault:write`.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// Requested permissions that you consent to: names such as `host:api.example.com GET`, or `"all"`. Absent: none.
    /// Secrets, and hosts with a port, require `vault:write`; without it they are missing.
    pub accept: Option<Accept>,
    /// Secrets to grant: maps the component's name of each secret to its name or id in the vault. Requires
    /// `vault:write`.
    #[serde(default)]
    pub secrets: BTreeMap<SecretName, String>,
    /// Maximum number of concurrent completions of a provider, 1 to 1000. `null`: the server's default.
    #[schemars(range(min = 1, max = 1000))]
    pub concurrency: Option<u32>,
}

/// Installs a component. If the client disconnects, the installation still completes or is cleaned up. `kind`: the
/// only kind that is allowed, if there is one.
pub async fn install(
    components: &Components,
    principal: Principal,
    new: NewInstallation,
    kind: Option<World>,
) -> Result<Installation> {
    let worker = components.clone();
    let installing = async move { install_now(&worker, principal, new, kind).await };
    components.tasks.run_detached("install", installing).await
}

async fn install_now(
    components: &Components,
    principal: Principal,
    new: NewInstallation,
    kind: Option<World>,
) -> Result<Installation> {
    if let Some(agent) = &new.agent_id {
        store::agents::get(&mut *components.store.read().await?, agent).await?;
    }
    configure::check_concurrency(new.concurrency)?;
    let NewInstallation { source, digest, name, agent_id, agents, config, accept, secrets, concurrency } = new;
    let admitted = admit::admit(components, source, digest, kind).await?;
    let component = Description::clone(&admitted.description);
    let write = Write { principal, component, name, agent_id, agents, config, accept, secrets, concurrency };
    let installed = match write.check(components).await {
        Ok(()) => components.store.write(move |tx| Box::pin(write.write(tx))).await,
        Err(error) => Err(error),
    };
    drop(admitted);
    if installed.is_err() {
        admit::try_remove_unused(components).await;
    }
    installed
}

/// An installation with its component.
struct Write {
    principal: Principal,
    component: Description,
    name: Option<Name>,
    agent_id: Option<Name>,
    agents: Option<EnabledAgents>,
    config: Map<String, Value>,
    accept: Option<Accept>,
    secrets: BTreeMap<SecretName, String>,
    concurrency: Option<u32>,
}

impl Write {
    /// Checks what needs no transaction.
    async fn check(&self, components: &Components) -> Result<()> {
        let (kind, manifest) = (self.component.world, &self.component.manifest);
        let wrong = |field, reason: &str| Err(Error::invalid_field(field, reason));
        match kind {
            World::Provider if self.agent_id.is_some() => {
                return wrong("agent_id", "a provider is installed for the server; remove the field");
            }
            World::Provider if self.agents.is_some() => {
                return wrong("agents", "agents name their provider; remove the field");
            }
            World::Skill if self.concurrency.is_some() => {
                return wrong("concurrency", "skills have no `concurrency`; remove the field");
            }
            World::Skill if self.name.as_ref().is_some_and(|name| *name != manifest.name) => {
                let reason = format!("a skill has the name in its manifest, `{}`; remove the field", manifest.name);
                return wrong("name", &reason);
            }
            World::Skill if self.agents.is_some() && self.agent_id.is_some() => {
                return wrong("agents", "the skill is installed for one agent; remove `agents` or `agent_id`");
            }
            World::Skill | World::Provider => {}
        }
        keys::refuse(&self.config)?;
        configuration::check(components, manifest, &self.config).await
    }

    async fn write(self, tx: &mut Tx) -> Result<Installation> {
        let agent = match &self.agent_id {
            Some(agent) => Some(store::agents::get(tx, agent).await?.key),
            None => None,
        };
        let Self { principal, component, name, agents, config, accept, secrets, concurrency, .. } = self;
        let (kind, manifest) = (component.world, &component.manifest);
        let name = name.unwrap_or_else(|| manifest.name.clone());
        if let Some(agent) = agent {
            shared::refuse_if_enabled(tx, agent, &name).await?;
        }
        // Before the author's defaults are added, which are no consent.
        let implied = permissions::implied_by_config(kind, manifest, &config, &principal);
        let config = configuration::with_defaults(manifest, config);
        let resolved = permissions::with_configured_hosts(manifest, &config);
        let accept = accept.map(|accept| accept.resolve_configured(manifest, &config));
        let named = Accept::resolve(accept, &resolved, &principal)?;
        let accepted = named.union(&implied).cloned().collect();
        let digest = component.digest.clone();
        store::components::insert(tx, &component).await?;
        let new = installations::NewInstallation { agent, kind, name, digest, config, accepted, concurrency };
        let key = store::installations::insert(tx, &new).await?;
        let installed = store::installations::by_key(tx, key).await?;
        let candidate = Candidate::new(&installed);
        grants::from_consent(tx, &principal, &candidate, &named).await?;
        grants::grant_named(tx, &principal, &candidate, &secrets).await?;
        events::record(tx, &subject(&installed, &principal), event(component, new)).await?;
        if let Some(agents) = agents {
            shared::enable(tx, &principal, &installed, agents).await?;
        }
        store::installations::by_key(tx, key).await
    }
}

fn event(component: Description, new: installations::NewInstallation) -> Event {
    let (digest, version) = (component.digest, component.manifest.version);
    match new.kind {
        World::Skill => Event::SkillInstalled {
            skill_id: new.name,
            digest,
            version,
            tools: component.tools.into_iter().map(|tool| tool.name).collect(),
            accepted: new.accepted,
        },
        World::Provider => Event::ProviderInstalled { provider_id: new.name, digest, version },
    }
}
