//! Skills that are installed for the server, and the agents that may use them.

use std::collections::BTreeSet;

use moxxy_store::{self as store, Tx, events};
use moxxy_types::{
    agents::AgentKey,
    components::World,
    error::{Error, Result},
    events::Event,
    ids::Name,
    installations::{EnabledAgents, Installation},
    tokens::{Principal, Scope},
};

use crate::services::{installations::subject, permissions};

/// Maximum number of agents that a skill is enabled for by name.
const MAX_AGENTS: usize = 1000;
/// Maximum number of agents that an error names.
const MAX_NAMED_AGENTS: i64 = 10;

/// Enables a skill of the server for these agents, and disables it for all others. An agent that can use it only now
/// requires `vault:write` if the skill may use secrets or reach hosts that are not public.
pub(super) async fn enable(
    tx: &mut Tx,
    principal: &Principal,
    skill: &Installation,
    agents: EnabledAgents,
) -> Result<()> {
    if skill.kind != World::Skill || skill.agent.is_some() {
        let reason = "only a skill that is installed for the server is enabled for agents; remove the field";
        return Err(Error::invalid_field("agents", reason));
    }
    let before: BTreeSet<_> = store::installations::agents(tx, skill.key).await?.into_iter().collect();
    let (names, all_agents) = match agents {
        EnabledAgents::All(_) => (BTreeSet::new(), true),
        EnabledAgents::Names(names) => (names.into_iter().collect(), false),
    };
    let keys = keys(tx, &names).await?;
    let added: Vec<_> = names.difference(&before).filter(|_| !skill.all_agents).cloned().collect();
    if (!added.is_empty() || all_agents && !skill.all_agents) && is_sensitive(tx, skill).await? {
        let why = format!(
            "The skill '{}' has secrets or hosts that are not public, and is enabled for further agents",
            skill.name
        );
        principal.require(Scope::VaultWrite, &why)?;
    }
    store::installations::set_agents(tx, skill.key, &keys, all_agents).await?;
    let others = store::installations::agents_with_another(tx, skill, all_agents, MAX_NAMED_AGENTS).await?;
    if !others.is_empty() {
        let (name, others) = (&skill.name, listed(&others));
        let message = format!("These agents have a skill '{name}' of their own: {others}. Remove it there first");
        return Err(Error::conflict("skill_exists", message));
    }
    let (installation_id, skill_id) = (skill.id.clone(), skill.name.clone());
    let removed = before.difference(&names).filter(|_| !all_agents).cloned().collect();
    let agents = names.into_iter().collect();
    let event = Event::SkillEnabled { installation_id, skill_id, all_agents, agents, added, removed };
    events::record(tx, &subject(skill, principal), event).await
}

/// Returns an error if a skill of this name is installed for the server and enabled for the agent.
pub(super) async fn refuse_if_enabled(tx: &mut Tx, agent: AgentKey, name: &Name) -> Result<()> {
    match store::installations::skill(tx, agent, name).await {
        Ok(skill) if skill.agent.is_none() => {
            let message = format!(
                "The server's skill '{name}' is already enabled for this agent. Disable it first with PATCH \
                 /v1/components/{}",
                skill.id
            );
            Err(Error::conflict("skill_exists", message))
        }
        Ok(_) | Err(Error::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn keys(tx: &mut Tx, names: &BTreeSet<Name>) -> Result<Vec<AgentKey>> {
    if names.len() > MAX_AGENTS {
        let reason = format!("at most {MAX_AGENTS} agents can be named; send \"all\" to enable it for all");
        return Err(Error::invalid_field("agents", reason));
    }
    let found = store::agents::keys(tx, names).await?;
    match names.iter().find(|name| !found.contains_key(*name)) {
        Some(unknown) => Err(Error::invalid_field("agents", format!("there is no agent '{unknown}'"))),
        None => Ok(found.into_values().collect()),
    }
}

/// Whether a skill may use a secret or reach a host that is not public.
async fn is_sensitive(tx: &mut Tx, skill: &Installation) -> Result<bool> {
    let manifest = permissions::with_configured_hosts(&skill.component.manifest, &skill.config);
    let is_privileged = |name: &String| permissions::is_privileged(&manifest, name);
    // Grants that have ended, and those of the previous version, count too.
    Ok(skill.accepted.iter().any(is_privileged) || !store::grants::of_installation(tx, skill.key).await?.is_empty())
}

fn listed(names: &[Name]) -> String {
    names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")
}
