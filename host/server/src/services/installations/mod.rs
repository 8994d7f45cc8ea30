//! Installations: components in their places. Skills of agents and providers of the server are upgraded, rolled back and
//! configured by the same code.

mod configuration;
pub mod configure;
mod download;
pub mod upgrade;

use moxxy_store::{self as store, Db};
use moxxy_types::{
    components::World, error::Result, events::EventContext, ids::Name, installations::Installation, tokens::Principal,
};

use crate::{
    config::Config,
    services::{etag::Expected, providers, skills},
};

pub(super) use configuration::{check, with_defaults};
pub(super) use download::download;

/// Where an installation is: a skill of an agent, or a provider.
#[derive(Debug, Clone)]
pub struct Place {
    pub agent: Option<Name>,
    pub name: Name,
    pub expected: Expected,
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
    pub(super) fn check(&self, current: &Installation, now: &str, config: &Config) -> Result<()> {
        match current.kind {
            World::Skill => self.expected.check(&skills::View::new(current.clone(), now, &config.egress.private)),
            World::Provider => self.expected.check(&providers::View::new(current.clone(), now, &config.egress.private)),
        }
    }

    pub(super) fn subject(&self, principal: &Principal) -> EventContext {
        self.agent.as_ref().map_or_else(EventContext::default, EventContext::agent).by(principal.name())
    }

    pub(super) fn noun(&self) -> &'static str {
        if self.agent.is_some() { "Skill" } else { "Provider" }
    }
}
