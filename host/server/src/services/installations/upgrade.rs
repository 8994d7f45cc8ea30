//! Upgrade and rollback of skills. A version that requests more permissions than the previous one requires consent;
//! until then the old version stays.

use std::sync::Arc;

use moxxy_store::{self as store, Tx, events};
use moxxy_types::{
    agents::AgentKey,
    components::{Description, World},
    digest::Digest,
    error::{Error, Result},
    events::{Event, EventContext},
    ids::Name,
    installations::Installation,
    permissions::Names,
    tokens::{Principal, Scope},
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    config::Config,
    services::{
        components::Components,
        etag::Expected,
        grants::{self, Candidate},
        permissions::{self, Accept},
        skills::{self, Install, View},
        source::Source,
    },
};

/// What is to take the place of a version, or more consent to the one that is there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upgrade {
    /// Where the component comes from: one of these. Absent: the one that is there stays.
    pub source: Option<Source>,
    /// Of the component; another one is refused.
    pub digest: Option<Digest>,
    /// What of its wishes you consent to, as at the install; what was consented to before and is asked
    /// for still need not be named. Grants of secrets go over to a new version where their wish is named.
    pub accept: Option<Accept>,
    /// What of your consent you take back, by the same names.
    #[serde(default)]
    pub revoke: Names,
}

/// The skill to upgrade.
pub struct Place {
    pub agent: Name,
    pub id: Name,
    pub expected: Expected,
}

/// Replaces a skill's component. Running calls finish on the old one; later calls use the new one. The upgrade
/// completes even if the client disconnects.
pub async fn upgrade(components: &Components, principal: Principal, place: Place, upgrade: Upgrade) -> Result<View> {
    let worker = components.clone();
    let upgrading = async move { replace(&worker, principal, place, upgrade).await };
    Ok(skills::view(components, components.tasks.run_detached("upgrade", upgrading).await?))
}

async fn replace(
    components: &Components,
    principal: Principal,
    place: Place,
    upgrade: Upgrade,
) -> Result<Installation> {
    let mut db = components.store.read().await?;
    let key = store::agents::get(&mut db, &place.agent).await?.key;
    store::installations::skill(&mut db, key, &place.id).await?;
    drop(db);
    let Upgrade { source, digest, accept, revoke } = upgrade;
    let admitted = match source {
        Some(source) => Some(skills::admit(components, source, digest.clone(), World::Skill).await?),
        None => None,
    };
    let component = admitted.as_ref().map(|admitted| Description::clone(&admitted.description));
    let change =
        Change { principal, key, place, component, digest, accept, revoke, config: Arc::clone(&components.config) };
    let upgraded = components.store.write(move |tx| Box::pin(change.write(tx))).await;
    drop(admitted);
    // An older version may be unused now, or a refused one was never used.
    skills::try_remove_unused(components).await;
    upgraded
}

/// A change that is checked in the transaction that applies it.
struct Change {
    principal: Principal,
    key: AgentKey,
    place: Place,
    component: Option<Description>,
    digest: Option<Digest>,
    accept: Option<Accept>,
    revoke: Names,
    config: Arc<Config>,
}

impl Change {
    async fn write(self, tx: &mut Tx) -> Result<Installation> {
        let Self { principal, key, place: Place { agent, id, expected }, .. } = self;
        let current = store::installations::skill(tx, key, &id).await?;
        expected.check(&View::new(current.clone(), &tx.now(), &self.config.egress.private))?;
        let Installation { component: old, accepted: before, .. } = current.clone();
        if self.component.is_none() {
            // Without a component, the request can only be about consent.
            Accept::check_scope(self.accept.as_ref(), &old.manifest, &principal)?;
        }
        let component = self.component.unwrap_or_else(|| old.clone());
        skills::same_digest(self.digest, &component.digest)?;
        same_skill(&id, &component.manifest.name)?;
        let named = Accept::resolve(self.accept, &component.manifest, &principal)?;
        permissions::check_consent(&old.manifest, &component.manifest, &named)?;
        let carried = permissions::carried_over(&old.manifest, &before, &component.manifest);
        if let Some(unknown) = self.revoke.difference(&before).next() {
            return Err(Error::invalid_field("revoke", format!("there is no consent to {unknown:?}")));
        }
        let accepted: Names = carried.union(&named).filter(|name| !self.revoke.contains(*name)).cloned().collect();
        let candidate = Candidate::new(&current, Some(&agent)).with_component(&component);
        if old.digest != component.digest {
            store::components::insert(tx, &component).await?;
            store::installations::replace(tx, current.key, &component.digest, &current.config, &accepted).await?;
            // Earlier grants of this version must not become effective again.
            grants::revoke_all(tx, &principal, &candidate).await?;
            grants::carry(tx, &principal, &old.digest, &candidate, &named).await?;
        } else if accepted != before {
            let consented = Installation { accepted: accepted.clone(), ..current };
            store::installations::update(tx, &consented).await?;
        }
        grants::check_hosts(tx, &principal, &candidate, accepted.difference(&before)).await?;
        grants::from_consent(tx, &principal, &candidate, &named).await?;
        if old.digest != component.digest || accepted != before {
            let event = Event::SkillUpgraded {
                skill_id: id.clone(),
                from: old.digest,
                to: component.digest,
                version: component.manifest.version,
                accepted,
            };
            events::record(tx, &EventContext::agent(&agent).by(principal.name()), event).await?;
        }
        store::installations::skill(tx, key, &id).await
    }
}

/// Swaps the current version with the previous one, so that a second rollback restores the upgraded version. The
/// grants of the previous version become effective again if `principal` has `vault:write`.
pub async fn rollback(components: &Components, principal: Principal, agent: Name, id: Name) -> Result<View> {
    let mut db = components.store.read().await?;
    let key = store::agents::get(&mut db, &agent).await?.key;
    let previous = store::installations::skill(&mut db, key, &id).await?.previous;
    drop(db);
    if let Some(digest) = previous
        && let Err(why) = components.plugins.check(&digest).await
    {
        return Err(Error::conflict("component_unusable", format!("The version before cannot be used: {why}")));
    }
    let skill = components
        .store
        .write(move |tx| {
            Box::pin(async move {
                let key = store::agents::get(tx, &agent).await?.key;
                let skill = store::installations::skill(tx, key, &id).await?;
                let Some(to) = skill.previous else {
                    return Err(Error::conflict("nothing_to_roll_back", format!("Skill '{id}' was never upgraded")));
                };
                store::installations::swap(tx, skill.key).await?;
                let back = Event::SkillRolledBack { skill_id: id.clone(), from: skill.component.digest, to };
                events::record(tx, &EventContext::agent(&agent).by(principal.name()), back).await?;
                let skill = store::installations::skill(tx, key, &id).await?;
                if !principal.may(Scope::VaultWrite) {
                    let candidate = Candidate::new(&skill, Some(&agent));
                    grants::revoke_all(tx, &principal, &candidate).await?;
                }
                store::installations::skill(tx, key, &id).await
            })
        })
        .await?;
    Ok(skills::view(components, skill))
}

/// Converts an upload to an upgrade that replaces the component.
impl From<Install> for Upgrade {
    fn from(Install { source, digest, accept }: Install) -> Self {
        Self { source: Some(source), digest, accept, revoke: Names::new() }
    }
}

fn same_skill(id: &Name, name: &Name) -> Result<()> {
    if id == name {
        return Ok(());
    }
    let message = format!("The component is `{name}`, not `{id}`: install it as a skill of its own");
    Err(Error::invalid("another_skill", message))
}
