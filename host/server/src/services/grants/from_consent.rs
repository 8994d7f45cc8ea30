//! Grants that result from consent at an installation, an upgrade or a configuration. All of them require
//! `vault:write`.

use std::collections::BTreeMap;

use moxxy_egress::Pattern;
use moxxy_store::{self as store, Tx};
use moxxy_types::{
    digest::Digest,
    error::{Error, Result},
    grants::{Grant, Mode},
    host_port::HostPort,
    ids::{GrantId, SecretId, SecretName},
    installations::InstallationKey,
    permissions::Names,
    secrets::Secret,
    tokens::{Principal, Scope},
};

use crate::services::{
    grants::issue::{self, Candidate, GrantIssuer, Terms},
    permissions,
};

/// Grants the vault's secret of the same name for each requested secret in `named`. A secret that is not in the vault
/// yet stays missing. Without `vault:write`, all stay missing.
pub async fn from_consent(tx: &mut Tx, principal: &Principal, candidate: &Candidate, named: &Names) -> Result<()> {
    if !principal.may(Scope::VaultWrite) {
        return Ok(());
    }
    let grants = store::grants::list_of_holder(tx, candidate.holder, candidate.digest()).await?;
    let lacking = |name: &str| !grants.iter().any(|grant| grant.name.as_str() == name);
    for request in candidate
        .requests()
        .iter()
        .filter(|request| named.contains(&permissions::secret_permission(request)) && lacking(&request.name))
    {
        let secret = match store::secrets::get_by_name(tx, &SecretName::from_db(request.name.clone())).await {
            Err(Error::NotFound(_)) => continue,
            secret => secret?,
        };
        GrantIssuer { secret: &secret, by: principal.name(), terms: Terms::default() }
            .issue(tx, candidate, request)
            .await?;
    }
    Ok(())
}

/// Grants secrets of the vault, given by the component's names for them. Requires `vault:write`.
pub async fn grant_named(
    tx: &mut Tx,
    principal: &Principal,
    candidate: &Candidate,
    secrets: &BTreeMap<SecretName, String>,
) -> Result<()> {
    if secrets.is_empty() {
        return Ok(());
    }
    principal.require(Scope::VaultWrite, "A component is to use a secret")?;
    let grants = store::grants::list_of_holder(tx, candidate.holder, candidate.digest()).await?;
    for (name, secret) in secrets {
        let unknown = || Error::invalid_field(&format!("secrets.{name}"), "the component asks for no such secret");
        let request = candidate.request_for(name).ok_or_else(unknown)?;
        let secret = find(tx, secret).await?;
        if !grants.iter().any(|grant| grant.name == *name && grant.secret_id == secret.id) {
            GrantIssuer { secret: &secret, by: principal.name(), terms: Terms::default() }
                .issue(tx, candidate, request)
                .await?;
        }
    }
    Ok(())
}

/// Returns the secret with this id or this name in the vault.
async fn find(tx: &mut Tx, secret: &str) -> Result<Secret> {
    match SecretId::try_from(secret.to_owned()) {
        Ok(id) => store::secrets::get(tx, &id).await,
        Err(_) => store::secrets::get_by_name(tx, &SecretName::try_from(secret.to_owned())?).await,
    }
}

/// Copies the grants of the previous version to a new one, for the requested secrets in `named`.
pub async fn carry(tx: &mut Tx, principal: &Principal, from: &Digest, to: &Candidate, named: &Names) -> Result<()> {
    if !principal.may(Scope::VaultWrite) {
        return Ok(());
    }
    let now = tx.now();
    let consented = |grant: &Grant| {
        to.request_for(&grant.name).is_some_and(|request| named.contains(&permissions::secret_permission(request)))
    };
    let grants = store::grants::list_of_holder(tx, to.holder, from).await?;
    let existing = store::grants::list_of_holder(tx, to.holder, to.digest()).await?;
    let lacking = |grant: &Grant| !existing.iter().any(|other| other.name == grant.name);
    for mut grant in grants.into_iter().filter(|grant| grant.is_usable(&now) && consented(grant) && lacking(grant)) {
        grant.max_uses = grant.max_uses.map(|most| most - grant.uses);
        grant = Grant {
            id: GrantId::random(),
            digest: to.digest().clone(),
            uses: 0,
            granted_by: principal.name().to_owned(),
            created_at: now.clone(),
            ..grant
        };
        issue::insert(tx, to.holder, &grant).await?;
    }
    Ok(())
}

/// Replaces a configured host in the grants of an installation. Requires `vault:write` if a grant is affected.
pub async fn retarget_hosts(
    tx: &mut Tx,
    principal: &Principal,
    (holder, digest): (InstallationKey, &Digest),
    from: Option<String>,
    to: Option<String>,
) -> Result<()> {
    let now = tx.now();
    for mut grant in store::grants::of_installation(tx, holder).await? {
        let sent = from.as_ref().is_some_and(|from| grant.hosts.contains(from));
        // A pattern may cover the new host as well.
        let covers = to.as_deref().is_some_and(|to| grant.hosts.iter().any(|host| covers(host, to)));
        // A component that knows the value could send it to any host that it may reach.
        if !(sent || covers || grant.mode == Mode::Reveal) || !grant.is_usable(&now) {
            continue;
        }
        principal
            .require(Scope::VaultWrite, &format!("The secret '{}' would be sent to another host", grant.secret))?;
        // Those of the previous version belong to its own configuration.
        if !sent || grant.digest != *digest {
            continue;
        }
        grant.hosts.retain(|host| Some(host) != from.as_ref());
        grant.hosts.extend(to.clone());
        if grant.hosts.is_empty() {
            // A grant without hosts is useless, and would block a new one.
            crate::services::grants::remove(tx, principal, &grant).await?;
            continue;
        }
        store::grants::set_hosts(tx, &grant.id, &grant.hosts).await?;
        issue::record_event(tx, &grant, principal.name(), issue::granted(&grant)).await?;
    }
    Ok(())
}

/// Whether a host in a grant, which may be a pattern, covers a destination.
fn covers(host: &str, destination: &str) -> bool {
    let destination = HostPort::try_from(format!("{destination}:443")).ok();
    let covers = |pattern: Pattern| destination.is_some_and(|destination| pattern.matches(&destination.host()));
    Pattern::parse(host).is_some_and(covers)
}

/// Returns an error if a component that knows the value of a secret gets further hosts, unless `principal` has
/// `vault:write`: the component could send the value there.
pub async fn check_hosts(
    tx: &mut Tx,
    principal: &Principal,
    holder: &Candidate,
    mut more: impl Iterator<Item = &String> + Send,
) -> Result<()> {
    if !more.any(|name| name.starts_with("host:")) {
        return Ok(());
    }
    let grants = store::grants::list_of_holder(tx, holder.holder, holder.digest()).await?;
    // A grant that has ended counts too: the component may still know the value.
    match grants.into_iter().find(|grant| grant.mode == Mode::Reveal) {
        Some(grant) => {
            principal.require(Scope::VaultWrite, &format!("The component knows the secret '{}'", grant.secret))
        }
        None => Ok(()),
    }
}

/// Returns an error if an installation may know the value of a secret, unless `principal` has `vault:write`: another
/// component in its place could read the value in what the installation keeps.
pub async fn refuse_if_revealed(tx: &mut Tx, principal: &Principal, holder: InstallationKey) -> Result<()> {
    let grants = store::grants::of_installation(tx, holder).await?;
    // A grant that has ended counts too.
    match grants.into_iter().find(|grant| grant.mode == Mode::Reveal) {
        Some(grant) => {
            let why =
                format!("The component knows the secret '{}', and another one is to take its place", grant.secret);
            principal.require(Scope::VaultWrite, &why)
        }
        None => Ok(()),
    }
}

/// Revokes every grant of a component.
pub async fn revoke_all(tx: &mut Tx, principal: &Principal, holder: &Candidate) -> Result<()> {
    for grant in store::grants::list_of_holder(tx, holder.holder, holder.digest()).await? {
        crate::services::grants::remove(tx, principal, &grant).await?;
    }
    Ok(())
}
