//! Upgrade and rollback of installations. A version that requests more permissions than the previous one requires
//! consent; until then the old version stays. Without `vault:write`, neither ends with more than is granted now.

use moxxy_store::{self as store, Tx, events};
use moxxy_types::{
    components::{Description, World},
    digest::Digest,
    error::{Error, Result},
    events::Event,
    installations::Installation,
    permissions::Names,
    tokens::{Principal, Scope},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::services::{
    components::Components,
    etag::Expected,
    grants::{self, Candidate},
    installations::{Place, admit, configuration, keys, subject},
    merge_patch,
    permissions::{self, Accept},
    source::Source,
};

/// What is to take the place of a version, or more consent to the one that is there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upgrade {
    /// Where the component comes from: one of these. Absent: the one that is there stays.
    #[serde(rename = "component", alias = "source")]
    pub source: Option<Source>,
    /// Of the component; another one is refused.
    pub digest: Option<Digest>,
    /// What of its wishes you consent to, as at the install; what was consented to before and is asked
    /// for still need not be named. Grants of secrets go over to a new version where their wish is named.
    pub accept: Option<Accept>,
    /// What of your consent you take back, by the same names.
    #[serde(default)]
    pub revoke: Names,
    /// Changes to the configuration for the new version, as a JSON merge patch (RFC 7396).
    #[serde(default)]
    pub config: Map<String, Value>,
}

/// Replaces the component of an installation. Running calls finish on the old one; later calls use the new one. The
/// upgrade completes even if the client disconnects.
pub async fn upgrade(
    components: &Components,
    principal: Principal,
    (place, expected): (Place, Expected),
    upgrade: Upgrade,
) -> Result<Installation> {
    let worker = components.clone();
    let upgrading = async move { replace(&worker, principal, (place, expected), upgrade).await };
    components.tasks.run_detached("upgrade", upgrading).await
}

async fn replace(
    components: &Components,
    principal: Principal,
    (place, expected): (Place, Expected),
    upgrade: Upgrade,
) -> Result<Installation> {
    let current = place.find(&mut *components.store.read().await?).await?;
    let Upgrade { source, digest, accept, revoke, config: changes } = upgrade;
    if source.is_none() && !changes.is_empty() {
        return Err(Error::invalid_field("config", "without a new component, change the configuration by PATCH"));
    }
    keys::refuse(&changes)?;
    let admitted = match source {
        Some(source) => Some(admit::admit(components, source, digest.clone(), Some(current.kind)).await?),
        None => None,
    };
    let component = admitted.as_ref().map(|admitted| Description::clone(&admitted.description));
    if let Some(component) = &component {
        same_component(&current, component)?;
        let mut config = current.config.clone();
        merge_patch::apply(&mut config, changes.clone());
        configuration::check_for_upgrade(components, &component.manifest, &config).await?;
    }
    let checked = current.config;
    let change = Change { principal, place, expected, component, checked, changes, digest, accept, revoke };
    let upgraded = components.store.write(move |tx| Box::pin(change.write(tx))).await;
    drop(admitted);
    // An older version may be unused now, or a refused one was never used.
    admit::try_remove_unused(components).await;
    if let Ok(upgraded) = &upgraded {
        components.models.forget(&upgraded.name);
    }
    upgraded
}

/// A change that is checked in the transaction that applies it.
struct Change {
    principal: Principal,
    place: Place,
    expected: Expected,
    component: Option<Description>,
    /// The configuration that was checked against the schema of the component.
    checked: Map<String, Value>,
    /// Changes to it, which were checked too.
    changes: Map<String, Value>,
    digest: Option<Digest>,
    accept: Option<Accept>,
    revoke: Names,
}

impl Change {
    async fn write(self, tx: &mut Tx) -> Result<Installation> {
        let (principal, place) = (&self.principal, &self.place);
        let now = tx.now();
        let current = place.find_expected(tx, &self.expected, &now).await?;
        let Installation { component: old, accepted: before, .. } = current.clone();
        if self.component.is_some() && current.config != self.checked {
            let message = format!(
                "The configuration of `{}` was changed by another request; read it again and repeat the upgrade",
                current.name
            );
            return Err(Error::conflict("changed_meanwhile", message));
        }
        let component = self.component.clone().unwrap_or_else(|| old.clone());
        admit::same_digest(self.digest.clone(), &component.digest)?;
        let is_other = old.digest != component.digest;
        let mut config = current.config.clone();
        merge_patch::apply(&mut config, self.changes.clone());
        if is_other {
            config = configuration::with_defaults(&component.manifest, config);
        }
        let (named, accepted) = self.consent(&current, &component, &config)?;
        let candidate = Candidate::new(&current).with_component(&component);
        if is_other {
            grants::refuse_if_revealed(tx, principal, current.key).await?;
            store::components::insert(tx, &component).await?;
            store::installations::replace(tx, current.key, &component.digest, &config, &accepted).await?;
            // Earlier grants of this version must not become effective again.
            grants::revoke_all(tx, principal, &candidate).await?;
            grants::carry(tx, principal, &old.digest, &candidate, &named).await?;
            let replaced = place.find(tx).await?;
            configuration::retarget_grants(tx, principal, &replaced, &current.config).await?;
        } else if accepted != before || config != current.config {
            let consented = Installation { accepted: accepted.clone(), config, ..current.clone() };
            store::installations::update(tx, &consented).await?;
            configuration::retarget_grants(tx, principal, &consented, &current.config).await?;
        }
        grants::check_hosts(tx, principal, &candidate, accepted.difference(&before)).await?;
        grants::from_consent(tx, principal, &candidate, &named).await?;
        if is_other || accepted != before {
            let (from, to, version) = (old.digest, component.digest, component.manifest.version);
            let event = upgraded(&current, from, to, version, accepted);
            events::record(tx, &subject(&current, principal), event).await?;
        }
        place.find(tx).await
    }

    /// Returns the permissions that are accepted now, and all that the installation has consent to afterwards.
    fn consent(
        &self,
        current: &Installation,
        component: &Description,
        config: &Map<String, Value>,
    ) -> Result<(Names, Names)> {
        let (principal, before) = (&self.principal, &current.accepted);
        let old_manifest = permissions::with_configured_hosts(&current.component.manifest, &current.config);
        let manifest = permissions::with_configured_hosts(&component.manifest, config);
        let is_list = matches!(self.accept, Some(Accept::Names(_)));
        let accept = self.accept.clone().map(|accept| accept.resolve_configured(&component.manifest, config));
        if is_list && self.component.is_none() {
            // Without a component, the request can only be about consent.
            Accept::check_scope(accept.as_ref(), &manifest, principal)?;
        }
        let named = Accept::resolve(accept, &manifest, principal)?;
        permissions::check_consent(&old_manifest, &manifest, &named)?;
        let mut carried = permissions::carried_over(&old_manifest, before, &manifest);
        if current.component.digest != component.digest && !principal.may(Scope::VaultWrite) {
            // Such consent was given to another component.
            carried.retain(|name| !permissions::is_privileged(&old_manifest, name));
        }
        if let Some(unknown) = self.revoke.difference(before).next() {
            return Err(Error::invalid_field("revoke", format!("there is no consent to {unknown:?}")));
        }
        carried.extend(permissions::implied_by_config(current.kind, &component.manifest, &self.changes, principal));
        let accepted = carried.union(&named).filter(|name| !self.revoke.contains(*name)).cloned().collect();
        let accepted = permissions::retain_requested(accepted, &component.manifest, config);
        Ok((named, accepted))
    }
}

/// Swaps the current version with the previous one, so that a second rollback restores the upgraded version. What was
/// revoked since stays revoked. The grants of the previous version become effective again if `principal` has
/// `vault:write`.
pub async fn rollback(
    components: &Components,
    principal: Principal,
    (place, expected): (Place, Expected),
) -> Result<Installation> {
    let previous = place.find(&mut *components.store.read().await?).await?.previous;
    if let Some(digest) = &previous
        && let Err(why) = components.plugins.check(digest).await
    {
        return Err(Error::conflict("component_unusable", format!("The version before cannot be used: {why}")));
    }
    let swapping = components.store.write(move |tx| {
        Box::pin(async move {
            let now = tx.now();
            let newer = place.find_expected(tx, &expected, &now).await?;
            if newer.previous != previous {
                let message = format!("`{}` was changed by another request; read it again", newer.name);
                return Err(Error::conflict("changed_meanwhile", message));
            }
            swap(tx, &principal, &place, newer).await
        })
    });
    let rolled_back = swapping.await?;
    components.models.forget(&rolled_back.name);
    Ok(rolled_back)
}

async fn swap(tx: &mut Tx, principal: &Principal, place: &Place, newer: Installation) -> Result<Installation> {
    let Some(to) = newer.previous.clone() else {
        let noun = match newer.kind {
            World::Skill => "Skill",
            World::Provider => "Provider",
        };
        let message = format!("{noun} '{}' was never upgraded", newer.name);
        return Err(Error::conflict("nothing_to_roll_back", message));
    };
    grants::refuse_if_revealed(tx, principal, newer.key).await?;
    store::installations::swap(tx, newer.key).await?;
    let from = newer.component.digest.clone();
    let name = newer.name.clone();
    let back = match newer.kind {
        World::Skill => Event::SkillRolledBack { skill_id: name, from, to },
        World::Provider => Event::ProviderRolledBack { provider_id: name, from, to },
    };
    events::record(tx, &subject(&newer, principal), back).await?;
    let mut older = place.find(tx).await?;
    let newer_manifest = permissions::with_configured_hosts(&newer.component.manifest, &newer.config);
    let older_manifest = permissions::with_configured_hosts(&older.component.manifest, &older.config);
    let accepted = older.accepted.clone();
    older.accepted.retain(|name| {
        // Consent that the newer version could have had and has not was revoked.
        let is_revoked = permissions::is_revoked(&newer_manifest, &newer.accepted, name);
        !is_revoked && (principal.may(Scope::VaultWrite) || !permissions::is_privileged(&older_manifest, name))
    });
    if older.accepted != accepted {
        store::installations::update(tx, &older).await?;
    }
    if !principal.may(Scope::VaultWrite) {
        grants::revoke_all(tx, principal, &Candidate::new(&older)).await?;
    }
    place.find(tx).await
}

fn upgraded(installation: &Installation, from: Digest, to: Digest, version: String, accepted: Names) -> Event {
    let name = installation.name.clone();
    match installation.kind {
        World::Skill => Event::SkillUpgraded { skill_id: name, from, to, version, accepted },
        World::Provider => Event::ProviderUpgraded { provider_id: name, from, to, version, accepted },
    }
}

/// Returns an error if a component is not another version of the installed one.
fn same_component(current: &Installation, new: &Description) -> Result<()> {
    let (old, new) = (&current.component.manifest.name, &new.manifest.name);
    if old == new {
        return Ok(());
    }
    let (code, of_its_own) = match current.kind {
        World::Skill => ("another_skill", "install it as a skill of its own"),
        World::Provider => ("another_provider", "install it as a provider of its own"),
    };
    Err(Error::invalid(code, format!("The component is `{new}`, not `{old}`: {of_its_own}")))
}
