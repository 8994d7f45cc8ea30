//! Installations: components in their places, as skills of agents or of the server, or as providers of the server.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    agents::AgentKey,
    checks::Summary,
    components::{Description, World},
    digest::Digest,
    grants::Grant,
    ids::{InstallationId, Name},
    permissions::{All, Names},
};

/// Database key of an installation. It is never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
pub struct InstallationKey(pub i64);

#[derive(Debug, Clone)]
pub struct Installation {
    pub key: InstallationKey,
    pub id: InstallationId,
    /// The agent that it is installed for; `None`: the server.
    pub agent: Option<AgentKey>,
    /// The name of that agent.
    pub agent_id: Option<Name>,
    pub kind: World,
    /// Unique for its kind and agent.
    pub name: Name,
    pub component: Description,
    pub config: Map<String, Value>,
    /// Permissions that the operator consented to.
    pub accepted: Names,
    /// Maximum number of concurrent completions of a provider; `None` uses the configured default.
    pub concurrency: Option<u32>,
    /// Grants of secrets to this version.
    pub grants: Vec<Grant>,
    /// Result of a provider's last check; `None` if there was none or the provider has changed since.
    pub check: Option<Summary>,
    /// Digest of the version before the last upgrade.
    pub previous: Option<Digest>,
    /// Whether all agents may use it, if it is a skill of the server.
    pub all_agents: bool,
    /// Counts changes.
    pub revision: i64,
    pub created_at: String,
    pub updated_at: String,
}

/// Agents that may use a skill that is installed for the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "it must be \"all\" or a list of agent names")]
pub enum EnabledAgents {
    /// All agents, including those that are created later.
    All(All),
    /// These agents, at most 1000.
    Names(#[schemars(length(max = 1000))] Vec<Name>),
}

/// Which installations are listed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub agent: Option<AgentKey>,
    pub kind: Option<World>,
}

/// An installation to be inserted.
#[derive(Debug, Clone)]
pub struct NewInstallation {
    pub agent: Option<AgentKey>,
    pub kind: World,
    pub name: Name,
    pub digest: Digest,
    pub config: Map<String, Value>,
    pub accepted: Names,
    pub concurrency: Option<u32>,
}

impl Installation {
    /// Returns the maximum number of concurrent completions, or `default` if it is not set.
    pub fn max_concurrency(&self, default: u32) -> u32 {
        self.concurrency.unwrap_or(default)
    }
}
