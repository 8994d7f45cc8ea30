//! Grants: permissions of components to use secrets, with mode, hosts, place, expiry and use limit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::{
    digest::Digest,
    ids::{GrantId, InstallationId, Name, SecretId, SecretName},
};

/// What a component may do with a secret.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(rename_all = "lowercase"))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum Mode {
    /// The server puts it into requests; the component never sees it.
    #[default]
    Inject,
    /// The component has texts signed with it (HMAC-SHA-256), and never sees it.
    Sign,
    /// The component is given the value.
    Reveal,
}

/// A secret that a component may use.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[cfg_attr(feature = "sqlx", derive(sqlx::FromRow))]
pub struct Grant {
    /// The grant's id, by which it is revoked.
    pub id: GrantId,
    /// The secret.
    pub secret_id: SecretId,
    /// Its name in the vault.
    pub secret: SecretName,
    /// The name by which the component asks for it.
    pub name: SecretName,
    /// The installation that it is granted to.
    pub installation_id: InstallationId,
    /// The agent whose skill it is granted to.
    pub agent_id: Option<Name>,
    /// The skill that it is granted to.
    pub skill_id: Option<Name>,
    /// The provider that it is granted to, if it is no skill.
    pub provider_id: Option<Name>,
    /// Of the component: another version needs a grant of its own.
    pub digest: Digest,
    /// What the component may do with it.
    pub mode: Mode,
    /// Where it may be sent; empty where it is not sent.
    #[cfg_attr(feature = "sqlx", sqlx(json))]
    pub hosts: Vec<String>,
    /// Where in a request it may stand: `header:NAME`, `basic`, `path`, `query:NAME` or `body`.
    pub place: String,
    /// When the grant ends; `null`: when it is revoked.
    pub expires_at: Option<String>,
    /// How often it may be used; `null`: as often as need be.
    pub max_uses: Option<i64>,
    /// How often it was used.
    pub uses: i64,
    /// A token's id, or `local`.
    pub granted_by: String,
    /// When it was granted.
    pub created_at: String,
}

impl Mode {
    /// Returns the verb for the use of a secret in this mode.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Inject => "send",
            Self::Sign => "sign with",
            Self::Reveal => "read",
        }
    }
}

impl Grant {
    /// Returns whether the grant may be used now: it has not expired and has uses left.
    pub fn is_usable(&self, now: &str) -> bool {
        let expired = self.expires_at.as_deref().is_some_and(|end| end <= now);
        !expired && self.max_uses.is_none_or(|max| self.uses < max)
    }

    /// Returns whether both grants allow the same.
    pub fn has_same_terms(&self, other: &Self) -> bool {
        let use_of = |grant: &Self| (grant.secret_id.clone(), grant.name.clone(), grant.mode, grant.place.clone());
        let restrictions_of = |grant: &Self| (grant.hosts.clone(), grant.expires_at.clone(), grant.max_uses);
        use_of(self) == use_of(other) && restrictions_of(self) == restrictions_of(other)
    }
}

/// A secret to be granted. `agent_id` and `secret_id` suffice: every skill of the agent that asks
/// for the secret now may use it as it asks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGrant {
    /// The secret, unless `secret` names it.
    pub secret_id: Option<SecretId>,
    /// The secret's name in the vault, instead of its id.
    pub secret: Option<SecretName>,
    /// The agent whose skills may use it.
    pub agent_id: Option<Name>,
    /// The provider that may use it, instead of an agent's skills.
    pub provider_id: Option<Name>,
    /// The installation that may use it, instead of an agent's skills or a provider. A skill of the server is granted
    /// secrets in this way only.
    pub installation_id: Option<InstallationId>,
    /// The one skill of the agent that may use it.
    pub component: Option<Name>,
    /// The name by which the component asks for it; absent: the secret's own.
    pub name: Option<SecretName>,
    /// Absent: `inject`.
    #[serde(default)]
    pub mode: Mode,
    /// Where it may be sent, such as `api.example.com` or `*.example.com`, by HTTPS; `http://nas.lan:8080`
    /// is that one port by plain HTTP. Absent: where the component asks to send it.
    pub hosts: Option<Vec<String>>,
    /// Where in a request it may stand; absent: as the component asks.
    pub place: Option<String>,
    /// When the grant ends, as in RFC 3339.
    pub expires_at: Option<String>,
    /// How often it may be used, 1 to 1,000,000,000 times.
    pub max_uses: Option<i64>,
}
