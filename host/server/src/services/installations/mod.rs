//! Installations: components in their places. Skills of agents and providers of the server are upgraded, rolled back and
//! configured by the same code.

mod admit;
mod configuration;
pub mod configure;
mod download;
pub mod upgrade;
mod view;

use moxxy_store::{self as store, Db};
use moxxy_types::{
    error::Result,
    events::EventContext,
    ids::{GrantId, InstallationId, Name},
    installations::Installation,
    tokens::Principal,
};
use serde::Serialize;

use crate::services::etag::Expected;

pub(super) use admit::{admit, remove_unused, try_remove_unused};
pub(super) use configuration::{check, with_defaults};
pub use view::Details;

/// Where an installation is.
#[derive(Debug, Clone)]
pub enum Place {
    Skill { agent: Name, name: Name },
    Provider(Name),
}

/// The part of an installation that its `ETag` stands for: what a client or an operator can change, and which grants
/// are in effect. Use counts are left out.
#[derive(Debug, Serialize)]
pub struct Version {
    id: InstallationId,
    revision: i64,
    grants: Vec<(GrantId, Vec<String>)>,
    checked_at: Option<String>,
}

impl Place {
    async fn find(&self, db: &mut Db) -> Result<Installation> {
        match self {
            Self::Skill { agent, name } => {
                let key = store::agents::get(db, agent).await?.key;
                store::installations::skill(db, key, name).await
            }
            Self::Provider(name) => store::installations::provider(db, name).await,
        }
    }

    /// Returns the installation, or an error if it is not in the expected version at the time `now`.
    pub(super) async fn find_expected(&self, db: &mut Db, expected: &Expected, now: &str) -> Result<Installation> {
        let found = self.find(db).await?;
        expected.check(&Version::new(&found, now))?;
        Ok(found)
    }
}

impl Version {
    /// Returns the version at the time `now`.
    pub fn new(installation: &Installation, now: &str) -> Self {
        let usable = installation.grants.iter().filter(|grant| grant.is_usable(now));
        Self {
            id: installation.id.clone(),
            revision: installation.revision,
            grants: usable.map(|grant| (grant.id.clone(), grant.hosts.clone())).collect(),
            checked_at: installation.check.as_ref().map(|check| check.checked_at.clone()),
        }
    }
}

/// Returns what events about an installation refer to.
pub(super) fn subject(installation: &Installation, principal: &Principal) -> EventContext {
    installation.agent_id.as_ref().map_or_else(EventContext::default, EventContext::agent).by(principal.name())
}
