//! Changes of an installation's configuration, concurrency and permissions.

use std::collections::BTreeMap;

use moxxy_store::{self as store, Tx, events};
use moxxy_types::{
    components::World,
    digest::Digest,
    error::{Error, Result},
    events::Event,
    ids::SecretName,
    installations::{EnabledAgents, Installation},
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
    installations::{Place, configuration, keys, shared, subject},
    merge_patch::{self, present},
    permissions::{self, Accept},
};

/// Allowed numbers of concurrent completions of a provider.
const CONCURRENCY_RANGE: std::ops::RangeInclusive<u32> = 1..=1000;

/// A change of a provider or a skill. What is absent stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "InstallationPatch")]
pub struct Patch {
    /// Changes to the configuration, as a JSON merge patch (RFC 7396): absent options keep their values, `null` removes
    /// an option. Naming a host that is not public, or changing the host that receives a secret, requires
    /// `vault:write`.
    pub config: Option<Map<String, Value>>,
    /// Maximum number of concurrent completions of a provider, 1 to 1000. `null` restores the server's default.
    #[serde(default, deserialize_with = "present")]
    #[schemars(range(min = 1, max = 1000))]
    pub concurrency: Option<Option<u32>>,
    /// Agents that may use a skill of the server, in place of those that may use it now: names, or `"all"`. If the skill
    /// has secrets or hosts that are not public, further agents require `vault:write`.
    pub agents: Option<EnabledAgents>,
    /// Secrets to grant: maps the component's name of each secret to its name or id in the vault. Requires
    /// `vault:write`.
    #[serde(default)]
    pub secrets: BTreeMap<SecretName, String>,
    /// Requested permissions that you consent to: names such as `host:localhost:11434 POST`, or `"all"`.
    pub accept: Option<Accept>,
}

impl Patch {
    fn changes_more_than_agents(&self) -> bool {
        self.config.is_some() || self.concurrency.is_some() || self.accept.is_some() || !self.secrets.is_empty()
    }
}

/// Changes the configuration, the concurrency and the permissions of an installation.
pub async fn update(
    components: &Components,
    principal: Principal,
    (place, expected): (Place, Expected),
    patch: Patch,
) -> Result<Installation> {
    check_concurrency(patch.concurrency.flatten())?;
    let checked = check_patch(components, &place, &patch).await?;
    let change = Change { principal, place, expected, patch, checked };
    let updated = components.store.write(move |tx| Box::pin(change.write(tx))).await?;
    if updated.kind == World::Provider {
        components.concurrency.resize(&updated.name, updated.max_concurrency(components.config.providers.concurrency));
    }
    Ok(updated)
}

/// Checks a patched configuration against the current component. Returns the component and the configuration.
async fn check_patch(
    components: &Components,
    place: &Place,
    patch: &Patch,
) -> Result<Option<(Digest, Map<String, Value>)>> {
    let current = place.find(&mut *components.store.read().await?).await?;
    if current.kind == World::Skill && patch.concurrency.is_some() {
        return Err(Error::invalid_field("concurrency", "skills have no `concurrency`; remove the field"));
    }
    let Some(changes) = &patch.config else { return Ok(None) };
    let is_new = |(name, value): &(&String, &Value)| current.config.get(*name) != Some(*value);
    let new = changes.iter().filter(is_new).map(|(name, value)| (name.clone(), value.clone())).collect();
    keys::refuse(&new)?;
    let mut config = current.config;
    merge_patch::apply(&mut config, changes.clone());
    configuration::check(components, &current.component.manifest, &config).await?;
    Ok(Some((current.component.digest, config)))
}

/// A change that is checked in the transaction that applies it.
struct Change {
    principal: Principal,
    place: Place,
    expected: Expected,
    patch: Patch,
    checked: Option<(Digest, Map<String, Value>)>,
}

impl Change {
    async fn write(self, tx: &mut Tx) -> Result<Installation> {
        let Self { principal, place, expected, patch, checked } = self;
        let now = tx.now();
        let mut changed = place.find_expected(tx, &expected, &now).await?;
        let before = changed.clone();
        let configures = patch.changes_more_than_agents();
        changed.concurrency = patch.concurrency.unwrap_or(changed.concurrency);
        if let Some(changes) = patch.config {
            merge_patch::apply(&mut changed.config, changes.clone());
            if checked != Some((changed.component.digest.clone(), changed.config.clone())) {
                let message =
                    format!("`{}` was changed by another request; read it again and repeat the change", changed.name);
                return Err(Error::conflict("changed_meanwhile", message));
            }
            let named = permissions::implied_by_config(changed.kind, &changed.component.manifest, &changes, &principal);
            changed.config = configuration::with_defaults(&changed.component.manifest, changed.config);
            configuration::retarget_grants(tx, &principal, &changed, &before.config).await?;
            changed.accepted.extend(named);
        }
        let named = accepted(patch.accept, &changed, &principal)?;
        changed.accepted.extend(named.iter().cloned());
        changed.accepted =
            permissions::retain_requested(changed.accepted, &changed.component.manifest, &changed.config);
        if let (false, Some(agents)) = (configures, &patch.agents) {
            shared::enable(tx, &principal, &changed, agents.clone()).await?;
            return store::installations::by_key(tx, before.key).await;
        }
        store::installations::update(tx, &changed).await?;
        let candidate = Candidate::new(&changed);
        grants::check_hosts(tx, &principal, &candidate, changed.accepted.difference(&before.accepted)).await?;
        grants::from_consent(tx, &principal, &candidate, &named).await?;
        grants::grant_named(tx, &principal, &candidate, &patch.secrets).await?;
        events::record(tx, &subject(&before, &principal), configured(&before, changed)).await?;
        if let Some(agents) = patch.agents {
            let changed = store::installations::by_key(tx, before.key).await?;
            shared::enable(tx, &principal, &changed, agents).await?;
        }
        store::installations::by_key(tx, before.key).await
    }
}

/// Returns the permissions that are accepted, with hosts of the configuration in place of `config:NAME`.
fn accepted(accept: Option<Accept>, installation: &Installation, principal: &Principal) -> Result<Names> {
    let (manifest, config) = (&installation.component.manifest, &installation.config);
    let resolved = permissions::with_configured_hosts(manifest, config);
    let accept = accept.map(|accept| match accept {
        Accept::All(_) if !principal.may(Scope::VaultWrite) && installation.kind == World::Provider => {
            Accept::Names(Names::new())
        }
        Accept::All(all) if !principal.may(Scope::VaultWrite) => Accept::All(all),
        accept => accept.resolve_configured(manifest, config),
    });
    Accept::check_scope(accept.as_ref(), &resolved, principal)?;
    Accept::resolve(accept, &resolved, principal)
}

fn configured(before: &Installation, after: Installation) -> Event {
    let changed = configuration::changed(&before.config, &after.config);
    let Installation { kind, name, concurrency, accepted, .. } = after;
    match kind {
        World::Skill => Event::SkillConfigured { skill_id: name, changed, accepted },
        World::Provider => Event::ProviderUpdated { provider_id: name, changed, concurrency, accepted },
    }
}

pub(crate) fn check_concurrency(concurrency: Option<u32>) -> Result<()> {
    match concurrency {
        Some(most) if !CONCURRENCY_RANGE.contains(&most) => {
            Err(Error::invalid_field("concurrency", "it is a number from 1 to 1000"))
        }
        _ => Ok(()),
    }
}
