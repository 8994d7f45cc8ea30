//! Grants: permissions to use a secret. A grant is for one exact component, with a mode, hosts, the place in a request,
//! an expiry and a use limit.

mod from_consent;
mod issue;

use moxxy_runtime::permission_requests;
use moxxy_store::{self as store, Tx};
use moxxy_types::{
    clock,
    error::{Error, InvalidFields, Result},
    events::Event,
    grants::{Grant, Mode, NewGrant},
    host_port::HostPort,
    ids::{GrantId, SecretName},
    installations::Installation,
    paging::{Page, PageRequest},
    tokens::Principal,
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::services::{
    grants::issue::{GrantIssuer, Terms},
    permissions::PLAIN_HTTP_PREFIX,
    vault::Vault,
};
pub use from_consent::{carry, check_hosts, from_consent, grant_named, refuse_if_revealed, retarget_hosts, revoke_all};
pub use issue::Candidate;

/// Maximum use limit of a grant.
const MOST_USES: i64 = 1_000_000_000;

/// What was granted: one grant for each component.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "NewGrants")]
pub struct Granted {
    /// The new grants.
    pub grants: Vec<Grant>,
}

/// Grants a secret to the components that request it now. Components that are installed later need their own grant.
pub async fn create(vault: &Vault, principal: Principal, mut new: NewGrant) -> Result<Granted> {
    check(vault, &mut new)?;
    vault
        .store
        .write(move |tx| {
            Box::pin(async move {
                let secret = match (&new.secret_id, &new.secret) {
                    (Some(id), None) => store::secrets::get(tx, id).await?,
                    (None, Some(name)) => store::secrets::get_by_name(tx, name).await?,
                    _ => return Err(Error::internal("a grant without a secret")),
                };
                let name = new.name.clone().unwrap_or_else(|| secret.name.clone());
                let giving = GrantIssuer { secret: &secret, by: principal.name(), terms: terms(&new) };
                let mut grants = Vec::new();
                for candidate in candidates(tx, &new).await? {
                    if let Some(wish) = candidate.request_for(&name) {
                        grants.push(giving.issue(tx, &candidate, wish).await?);
                    }
                }
                if grants.is_empty() { Err(nothing_asks(&new, &name)) } else { Ok(Granted { grants }) }
            })
        })
        .await
}

/// Returns a page of grants, oldest first.
pub async fn list(vault: &Vault, page: &PageRequest) -> Result<Page<Grant>> {
    let grants = store::grants::list(&mut *vault.store.read().await?, page).await?;
    Ok(page.cut(grants, |grant| grant.id.to_string()))
}

/// Revokes a grant. This takes effect at the next use, also during a run.
pub async fn revoke(vault: &Vault, principal: Principal, id: GrantId) -> Result<()> {
    vault
        .store
        .write(move |tx| {
            Box::pin(async move {
                let grant = store::grants::get(tx, &id).await?;
                remove(tx, &principal, &grant).await
            })
        })
        .await
}

async fn remove(tx: &mut Tx, principal: &Principal, grant: &Grant) -> Result<()> {
    store::grants::delete(tx, &grant.id).await?;
    let by = principal.name().to_owned();
    let Grant { id: grant_id, secret_id, name, skill_id, provider_id, .. } = grant.clone();
    let event = Event::Revoked { grant_id, secret_id, name, skill_id, provider_id, by };
    issue::record_event(tx, grant, principal.name(), event).await
}

/// Returns the components that `new` refers to.
async fn candidates(tx: &mut Tx, new: &NewGrant) -> Result<Vec<Candidate>> {
    if let Some(id) = &new.installation_id {
        return Ok(vec![Candidate::new(&store::installations::by_id(tx, id).await?)]);
    }
    if let Some(id) = &new.provider_id {
        return Ok(vec![Candidate::new(&store::installations::provider(tx, id).await?)]);
    }
    let Some(agent) = &new.agent_id else { return Ok(Vec::new()) };
    let key = store::agents::get(tx, agent).await?.key;
    let skills = match &new.component {
        Some(skill) => vec![store::installations::skill(tx, key, skill).await?],
        None => store::installations::skills(tx, key).await?,
    };
    let shared = skills.iter().find(|skill| skill.agent.is_none() && new.component.is_some());
    if let Some(Installation { name, id, .. }) = shared {
        let message =
            format!("Skill '{name}' is installed for the server: grant the secret with `installation_id`: \"{id}\"");
        return Err(Error::conflict("installed_for_server", message));
    }
    Ok(skills.iter().filter(|skill| skill.agent.is_some()).map(Candidate::new).collect())
}

fn terms(new: &NewGrant) -> Terms {
    Terms {
        mode: new.mode,
        hosts: new.hosts.clone(),
        place: new.place.clone(),
        expires_at: new.expires_at.clone(),
        max_uses: new.max_uses,
    }
}

fn check(vault: &Vault, new: &mut NewGrant) -> Result<()> {
    let mut wrong = InvalidFields::default();
    if new.secret_id.is_some() == new.secret.is_some() {
        wrong.push("secret_id", "name a secret, by its id or by `secret`");
    }
    let holders = [new.agent_id.is_some(), new.provider_id.is_some(), new.installation_id.is_some()];
    if holders.iter().filter(|given| **given).count() != 1 {
        wrong.push("agent_id", "send exactly one of `agent_id`, `provider_id` and `installation_id`");
    } else if new.agent_id.is_none() && new.component.is_some() {
        wrong.push("component", "it names a skill of the agent in `agent_id`; remove it");
    }
    if let Some(hosts) = &mut new.hosts {
        match normalize_places(hosts) {
            Ok(normal) if normal.is_empty() => wrong.push("hosts", "it names at least one"),
            Ok(normal) => *hosts = normal,
            Err(reason) => wrong.push("hosts", reason),
        }
    }
    if let Some(Err(reason)) = new.place.as_deref().map(permission_requests::check_place) {
        wrong.push("place", reason);
    }
    if new.mode != Mode::Inject && (new.hosts.is_some() || new.place.is_some()) {
        wrong.push("mode", "only what is injected has hosts and a place");
    }
    if let Some(end) = &mut new.expires_at {
        match clock::parse(end).map(clock::format).filter(|end| *end > vault.store.clock().timestamp()) {
            Some(normal) => *end = normal,
            None => wrong.push("expires_at", "it is a time to come, such as 2030-01-02T03:04:05Z"),
        }
    }
    if new.max_uses.is_some_and(|uses| !(1..=MOST_USES).contains(&uses)) {
        wrong.push("max_uses", format!("it is 1 to {MOST_USES}"));
    }
    wrong.into_result()
}

/// Parses hosts, and single ports that are reached by plain HTTP.
fn normalize_places(hosts: &[String]) -> Result<Vec<String>, String> {
    let (plain, encrypted): (Vec<_>, Vec<_>) =
        hosts.iter().cloned().partition(|host| host.starts_with(PLAIN_HTTP_PREFIX));
    let place = |host: String| {
        let peer = HostPort::try_from(host.trim_start_matches(PLAIN_HTTP_PREFIX).to_owned());
        peer.map(|peer| format!("{PLAIN_HTTP_PREFIX}{peer}")).map_err(|reason| format!("{host:?}: {reason}"))
    };
    let plain = plain.into_iter().map(place).collect::<Result<Vec<_>, _>>()?;
    Ok([permission_requests::normalize_hosts(&encrypted)?, plain].concat())
}

fn nothing_asks(new: &NewGrant, name: &SecretName) -> Error {
    let who = match (&new.provider_id, &new.agent_id, &new.component) {
        _ if new.installation_id.is_some() => "The component does not ask".to_owned(),
        (Some(provider), ..) => format!("Provider '{provider}' does not ask"),
        (_, _, Some(skill)) => format!("Skill '{skill}' does not ask"),
        (_, Some(agent), _) => format!("No skill of agent '{agent}' asks"),
        _ => "Nothing asks".to_owned(),
    };
    let message = format!(
        "{who} for a secret '{name}': install what asks for it first, or say with `name` how the component calls it"
    );
    Error::conflict("nothing_to_grant", message)
}
