//! API tokens, their scopes and the principals that act.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    clock::Clock,
    error::{Error, Problem, Result},
    ids::TokenId,
};

macro_rules! scopes {
    ($($scope:ident = $name:literal),* $(,)?) => {
        /// What a token may be used for; `*` stands for everything, and for what is to come.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum Scope {
            $(#[serde(rename = $name)] $scope,)*
        }

        impl Scope {
            pub const NAMES: &[&str] = &[$($name),*];

            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$scope => $name,)*
                }
            }
        }
    };
}

scopes! {
    AgentsRead = "agents:read",
    AgentsWrite = "agents:write",
    RunsWrite = "runs:write",
    EventsRead = "events:read",
    VaultRead = "vault:read",
    VaultWrite = "vault:write",
    ChannelsRead = "channels:read",
    ChannelsWrite = "channels:write",
    TokensAdmin = "tokens:admin",
    All = "*",
}

pub type Scopes = BTreeSet<Scope>;

/// Principal of a request.
#[derive(Debug, Clone)]
pub enum Principal {
    /// A program on this machine that runs as the server's own user or root.
    Local,
    Token(Token),
}

/// A token, without its text.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[cfg_attr(feature = "sqlx", derive(sqlx::FromRow))]
pub struct Token {
    /// The token's id, by which it is revoked.
    pub id: TokenId,
    /// What it may be used for.
    #[cfg_attr(feature = "sqlx", sqlx(json))]
    pub scopes: Scopes,
    /// What it is for.
    pub description: Option<String>,
    /// When it was made (RFC 3339, UTC).
    pub created_at: String,
    /// A token's id, or `local`, `bootstrap` or `offline`.
    pub created_by: String,
    /// When it ceases to be valid; `null`: never.
    pub expires_at: Option<String>,
    /// To the minute.
    pub last_used_at: Option<String>,
    /// When it was revoked; `null`: it was not.
    pub revoked_at: Option<String>,
}

impl Principal {
    pub fn may(&self, scope: Scope) -> bool {
        match self {
            Self::Local => true,
            Self::Token(token) => token.scopes.contains(&scope) || token.scopes.contains(&Scope::All),
        }
    }

    /// Returns an error if the principal lacks a scope. `why` says what requires the scope.
    pub fn require(&self, scope: Scope, why: &str) -> Result<()> {
        let Self::Token(token) = self else { return Ok(()) };
        if self.may(scope) {
            return Ok(());
        }
        let has: Vec<_> = token.scopes.iter().map(|scope| format!("`{}`", scope.name())).collect();
        let scope = scope.name();
        let message =
            format!("{why}: that takes a token with `{scope}`, which this one lacks; it has {}", has.join(", "));
        Err(Error::Forbidden(Problem::new("insufficient_scope", message)))
    }

    /// Returns the name under which actions of the principal are recorded.
    pub fn name(&self) -> &str {
        match self {
            Self::Local => "local",
            Self::Token(token) => token.id.as_str(),
        }
    }
}

impl Token {
    pub fn is_valid(&self, clock: &Clock) -> bool {
        self.revoked_at.is_none() && self.expires_at.as_ref().is_none_or(|end| clock.timestamp() < *end)
    }
}
