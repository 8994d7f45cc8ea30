//! Installations: components in their places. Skills of agents and providers of the server are upgraded, rolled back and
//! configured by the same code.

mod admit;
mod configuration;
pub mod configure;
mod download;
pub mod upgrade;

use moxxy_store::{self as store, Db};
use moxxy_types::{
    error::Result, events::EventContext, host_port::HostPort, ids::Name, installations::Installation, tokens::Principal,
};

use crate::services::etag::Expected;

pub(super) use admit::{admit, remove_unused, try_remove_unused};
pub(super) use configuration::{check, with_defaults};

/// Where an installation is: a skill of an agent, or a provider.
#[derive(Debug, Clone)]
pub struct Place {
    pub agent: Option<Name>,
    pub name: Name,
    pub expected: Expected,
    /// Checks the expectation against the view of the installation.
    pub check: fn(&Expected, Installation, &str, &[HostPort]) -> Result<()>,
}

impl Place {
    pub(super) async fn find(&self, db: &mut Db) -> Result<Installation> {
        match &self.agent {
            Some(agent) => {
                let key = store::agents::get(db, agent).await?.key;
                store::installations::skill(db, key, &self.name).await
            }
            None => store::installations::provider(db, &self.name).await,
        }
    }

    /// Returns an error if the installation is not in the expected state.
    fn check(&self, current: &Installation, now: &str, private: &[HostPort]) -> Result<()> {
        (self.check)(&self.expected, current.clone(), now, private)
    }

    pub(super) fn subject(&self, principal: &Principal) -> EventContext {
        self.agent.as_ref().map_or_else(EventContext::default, EventContext::agent).by(principal.name())
    }

    pub(super) fn noun(&self) -> &'static str {
        if self.agent.is_some() { "Skill" } else { "Provider" }
    }
}
