//! Installations: components in their places. Every kind is installed, configured, upgraded, rolled back and removed by
//! the same code.

mod admit;
mod configuration;
pub mod configure;
mod download;
pub mod install;
mod keys;
pub mod remove;
mod shared;
pub mod upgrade;
pub mod view;

use moxxy_store::{self as store, Db};
use moxxy_types::{
    error::{Error, Result},
    events::EventContext,
    ids::{GrantId, InstallationId, Name},
    installations::Installation,
    tokens::Principal,
};
use serde::Serialize;

use crate::services::etag::{Expected, Versioned};

pub(super) use admit::remove_unused;

/// Where an installation is.
#[derive(Debug, Clone)]
pub enum Place {
    Skill { agent: Name, name: Name },
    Provider(Name),
    Id(InstallationId),
}

/// The part of an installation that its `ETag` stands for: the number of changes, and which grants are in effect. Use
/// counts are left out.
#[derive(Debug, Serialize)]
pub struct Version {
    id: InstallationId,
    revision: i64,
    grants: Vec<GrantId>,
    checked_at: Option<String>,
}

impl Place {
    async fn find(&self, db: &mut Db) -> Result<Installation> {
        match self {
            Self::Skill { agent, name } => {
                let key = store::agents::get(db, agent).await?.key;
                let skill = store::installations::skill(db, key, name).await?;
                if skill.agent.is_none() {
                    let id = &skill.id;
                    let message = format!("Skill '{name}' is installed for the server: use /v1/components/{id}");
                    return Err(Error::conflict("installed_for_server", message));
                }
                Ok(skill)
            }
            Self::Provider(name) => store::installations::provider(db, name).await,
            Self::Id(id) => store::installations::by_id(db, id).await,
        }
    }

    /// Returns the installation, or an error if it is not in the expected version at the time `now`.
    pub(super) async fn find_expected(&self, db: &mut Db, expected: &Expected, now: &str) -> Result<Installation> {
        let found = self.find(db).await?;
        expected.check(&Version::new(&found, now))?;
        Ok(found)
    }
}

impl Versioned for Version {}

impl Version {
    /// Returns the version at the time `now`.
    pub fn new(installation: &Installation, now: &str) -> Self {
        let usable = installation.grants.iter().filter(|grant| grant.is_usable(now));
        Self {
            id: installation.id.clone(),
            revision: installation.revision,
            grants: usable.map(|grant| grant.id.clone()).collect(),
            checked_at: installation.check.as_ref().map(|check| check.checked_at.clone()),
        }
    }
}

/// Returns what events about an installation refer to.
pub(super) fn subject(installation: &Installation, principal: &Principal) -> EventContext {
    installation.agent_id.as_ref().map_or_else(EventContext::default, EventContext::agent).by(principal.name())
}
