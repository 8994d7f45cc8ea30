//! Grants that come with consent: when something is installed, upgraded or configured. Who gives it
//! may do `vault:write`, whatever the way.

use std::collections::BTreeMap;

use moxxy_store::{self as store, Tx};
use moxxy_types::{
    digest::Digest,
    error::{Error, Result},
    grants::{Grant, Mode},
    ids::{GrantId, Name, SecretId, SecretName},
    permissions::Names,
    secrets::Secret,
    tokens::{Principal, Scope},
};

use crate::services::{
    consent,
    grants::issue::{self, Candidate, GrantIssuer, Terms},
};

/// Grants what was consented to: of each wish for a secret that is named, the secret of that name. One
/// that is not in the vault yet stays missing, and so does all of them without `vault:write`.
pub async fn from_consent(tx: &mut Tx, principal: &Principal, candidate: &Candidate, named: &Names) -> Result<()> {
    if !principal.may(Scope::VaultWrite) {
        return Ok(());
    }
    let held = store::grants::of(tx, &candidate.holder, candidate.digest()).await?;
    let lacking = |name: &str| !held.iter().any(|grant| grant.name.as_str() == name);
    for wish in candidate.wishes().iter().filter(|wish| named.contains(&consent::secret(wish)) && lacking(&wish.name)) {
        let secret = match store::secrets::named(tx, &SecretName::stored(wish.name.clone())).await {
            Err(Error::NotFound(_)) => continue,
            secret => secret?,
        };
        GrantIssuer { secret: &secret, by: principal.name(), terms: Terms::default() }
            .issue(tx, candidate, wish)
            .await?;
    }
    Ok(())
}

/// Grants secrets of the vault by the names that the component has for them.
pub async fn named(
    tx: &mut Tx,
    principal: &Principal,
    candidate: &Candidate,
    secrets: &BTreeMap<SecretName, String>,
) -> Result<()> {
    if secrets.is_empty() {
        return Ok(());
    }
    principal.require(Scope::VaultWrite, "A component is to use a secret")?;
    let held = store::grants::of(tx, &candidate.holder, candidate.digest()).await?;
    for (name, secret) in secrets {
        let unknown = || Error::invalid_field(&format!("secrets.{name}"), "the component asks for no such secret");
        let wish = candidate.wish(name).ok_or_else(unknown)?;
        let secret = find(tx, secret).await?;
        if !held.iter().any(|grant| grant.name == *name && grant.secret_id == secret.id) {
            GrantIssuer { secret: &secret, by: principal.name(), terms: Terms::default() }
                .issue(tx, candidate, wish)
                .await?;
        }
    }
    Ok(())
}

/// By its id, or its name in the vault.
async fn find(tx: &mut Tx, secret: &str) -> Result<Secret> {
    match SecretId::try_from(secret.to_owned()) {
        Ok(id) => store::secrets::get(tx, &id).await,
        Err(_) => store::secrets::named(tx, &SecretName::try_from(secret.to_owned())?).await,
    }
}

/// Gives a new version the grants of the one before, of the wishes that are consented to.
pub async fn carry(tx: &mut Tx, principal: &Principal, from: &Digest, to: &Candidate, named: &Names) -> Result<()> {
    if !principal.may(Scope::VaultWrite) {
        return Ok(());
    }
    let now = tx.now();
    let consented = |grant: &Grant| to.wish(&grant.name).is_some_and(|wish| named.contains(&consent::secret(wish)));
    let grants = store::grants::of(tx, &to.holder, from).await?;
    let held = store::grants::of(tx, &to.holder, to.digest()).await?;
    let lacking = |grant: &Grant| !held.iter().any(|other| other.name == grant.name);
    for mut grant in grants.into_iter().filter(|grant| grant.holds(&now) && consented(grant) && lacking(grant)) {
        grant.max_uses = grant.max_uses.map(|most| most - grant.uses);
        grant = Grant {
            id: GrantId::random(),
            digest: to.digest().clone(),
            uses: 0,
            granted_by: principal.name().to_owned(),
            created_at: now.clone(),
            ..grant
        };
        issue::insert(tx, to.agent_key(), &grant).await?;
    }
    Ok(())
}

/// Lets the secrets of a provider follow a host of its configuration, which takes `vault:write`.
pub async fn retarget_hosts(
    tx: &mut Tx,
    principal: &Principal,
    provider: &Name,
    from: Option<String>,
    to: Option<String>,
) -> Result<()> {
    let now = tx.now();
    for mut grant in store::grants::of_provider(tx, provider).await? {
        let sent = from.as_ref().is_some_and(|from| grant.hosts.contains(from));
        // One that knows the value could send it wherever it may send anything.
        if !(sent || grant.mode == Mode::Reveal) || !grant.holds(&now) {
            continue;
        }
        principal
            .require(Scope::VaultWrite, &format!("The secret '{}' would be sent to another host", grant.secret))?;
        if !sent {
            continue;
        }
        grant.hosts.retain(|host| Some(host) != from.as_ref());
        grant.hosts.extend(to.clone());
        if grant.hosts.is_empty() {
            // It leads nowhere, and would stand in the way of another.
            crate::services::grants::remove(tx, principal, &grant).await?;
            continue;
        }
        store::grants::set_hosts(tx, &grant.id, &grant.hosts).await?;
        issue::tell(tx, &grant, principal.name(), issue::granted(&grant)).await?;
    }
    Ok(())
}

/// Refuses more hosts to a component that knows the value of a secret, unless `principal` may let that
/// be sent there.
pub async fn check_hosts(
    tx: &mut Tx,
    principal: &Principal,
    holder: &Candidate,
    mut more: impl Iterator<Item = &String> + Send,
) -> Result<()> {
    if !more.any(|name| name.starts_with("host:")) {
        return Ok(());
    }
    let grants = store::grants::of(tx, &holder.holder, holder.digest()).await?;
    // One that has ended is known all the same.
    match grants.into_iter().find(|grant| grant.mode == Mode::Reveal) {
        Some(grant) => {
            principal.require(Scope::VaultWrite, &format!("The component knows the secret '{}'", grant.secret))
        }
        None => Ok(()),
    }
}

/// Ends every grant of a component.
pub async fn revoke_all(tx: &mut Tx, principal: &Principal, holder: &Candidate) -> Result<()> {
    for grant in store::grants::of(tx, &holder.holder, holder.digest()).await? {
        crate::services::grants::remove(tx, principal, &grant).await?;
    }
    Ok(())
}
