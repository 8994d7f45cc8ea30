//! Unlocking of the vault: finds the master key that it is sealed with.

use moxxy_secrets::{self as secrets, MasterKey};
use moxxy_store as store;
use moxxy_store::{Store, Tx};
use moxxy_types::error::Result;

use crate::{
    config::Config,
    services::{
        audit,
        vault::master::{self, Found, Place, wrong_key},
    },
};

/// Returns the master key that the vault is sealed with, and whether the vault is new. Completes or reverts an
/// interrupted rotation.
pub async fn unlock(config: &Config, store: &Store) -> Result<(MasterKey, bool)> {
    let found = master::find(config)?;
    let sealed_by = store::secrets::key_id(&mut *store.read().await?).await?;
    let fits = |found: &&Found| sealed_by.as_ref().is_none_or(|id| *id == found.key.id());
    let Some(Found { key, place }) = found.iter().find(fits) else {
        return Ok((first(config, store, found).await?, sealed_by.is_none()));
    };
    match place {
        Place::Configured => {}
        Place::File => master::abandon(config)?,
        Place::Next => master::finish(config)?,
    }
    if sealed_by.is_none() {
        sealed_with(store, key.id()).await?;
    }
    Ok((key.clone(), sealed_by.is_none()))
}

/// Returns the master key of a vault without sealed secrets: any key that is found, or else a new one.
async fn first(config: &Config, store: &Store, found: Vec<Found>) -> Result<MasterKey> {
    let mut db = store.read().await?;
    if !store::secrets::sealed(&mut db).await?.is_empty() {
        return Err(wrong_key());
    }
    let (began, id) = (!store::audit::keys(&mut db).await?.is_empty(), store::secrets::key_id(&mut db).await?);
    drop(db);
    let given = found.into_iter().next().map(|found| found.key);
    if !began {
        let key = given.map_or_else(|| master::make(config), Ok)?;
        sealed_with(store, key.id()).await?;
        return Ok(key);
    }
    // The audit log continues under a key that is configured now, if the previous one still exists.
    let before = master::files(config)?.into_iter().find(|found| id.as_ref() == Some(&found.key.id()));
    let (Some(new), Some(before)) = (given, before) else { return Err(wrong_key()) };
    let key = new.clone();
    store.write(move |tx| Box::pin(async move { reseal(tx, &before.key, &new).await })).await?;
    Ok(key)
}

async fn sealed_with(store: &Store, id: String) -> Result<()> {
    store.write(move |tx| Box::pin(async move { store::secrets::set_key_id(tx, &id).await })).await
}

/// Seals every secret and the keys of the audit log with another master key. Returns the number of secrets.
pub async fn reseal(tx: &mut Tx, old: &MasterKey, new: &MasterKey) -> Result<usize> {
    let all = store::secrets::sealed(tx).await?;
    let count = all.len();
    for mut sealed in all {
        let value = secrets::open(old, (&sealed).into(), &sealed.bytes)?;
        sealed.bytes = secrets::seal(new, (&sealed).into(), &value)?;
        store::secrets::reseal(tx, &sealed).await?;
    }
    audit::renew(tx, old, new).await?;
    store::secrets::set_key_id(tx, &new.id()).await?;
    Ok(count)
}
