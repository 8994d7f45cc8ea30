//! Which master key fits the vault, and its rotation.

use super::{
    MasterKey,
    master::{self, Found, Place},
    seal,
};
use crate::{
    app,
    config::Config,
    error::{Error, Result},
    store::{self, Store, Tx},
};

/// The master key that the vault is sealed by. What a rotation left that did not end is put right.
pub async fn unlock(config: &Config, store: &Store) -> Result<MasterKey> {
    let found = master::find(config)?;
    let sealed_by = store::secrets::key_id(&mut *store.read().await?).await?;
    let fits = |found: &&Found| sealed_by.as_ref().is_none_or(|id| *id == found.key.id());
    let Some(Found { key, place }) = found.iter().find(fits) else {
        return first(config, store, found).await;
    };
    match place {
        Place::Configured => {}
        Place::File => master::abandon(config)?,
        Place::Next => master::finish(config)?,
    }
    if sealed_by.is_none() {
        sealed_with(store, key.id()).await?;
    }
    Ok(key.clone())
}

/// Where nothing is sealed yet, any key is taken, or made.
async fn first(config: &Config, store: &Store, found: Vec<Found>) -> Result<MasterKey> {
    if !store::secrets::sealed(&mut *store.read().await?).await?.is_empty() {
        let message = "The master key is not the one that the secrets here are sealed by: give back that key, as \
                       MOXXY_MASTER_KEY, MOXXY_MASTER_KEY_FILE or `master.key` in the data directory; without it no \
                       secret can be read";
        return Err(Error::conflict("wrong_master_key", message));
    }
    let key = found.into_iter().next().map_or_else(|| master::make(config), |found| Ok(found.key))?;
    sealed_with(store, key.id()).await?;
    Ok(key)
}

async fn sealed_with(store: &Store, id: String) -> Result<()> {
    store.write(move |tx| Box::pin(async move { store::secrets::set_key_id(tx, &id).await })).await
}

/// Opens every secret, in a data directory that no server uses. Returns how many there are.
pub async fn check_key(config: &Config) -> Result<usize> {
    app::offline(config, async |store| {
        let key = unlock(config, store).await?;
        let all = store::secrets::sealed(&mut *store.read().await?).await?;
        for sealed in &all {
            seal::open(&key, sealed.row(), &sealed.bytes)?;
        }
        Ok(all.len())
    })
    .await
}

/// Seals every secret by another master key, in a data directory that no server uses. Returns how
/// many there are.
pub async fn rotate_key(config: &Config, new: MasterKey) -> Result<usize> {
    app::offline(config, async |store| {
        let old = unlock(config, store).await?;
        let in_file = config.data.master_key.expose().is_none();
        if in_file {
            master::prepare(config, &new)?;
        }
        let count = store.write(move |tx| Box::pin(async move { reseal(tx, &old, &new).await })).await?;
        if in_file {
            master::finish(config)?;
        }
        Ok(count)
    })
    .await
}

async fn reseal(tx: &mut Tx, old: &MasterKey, new: &MasterKey) -> Result<usize> {
    let all = store::secrets::sealed(tx).await?;
    let count = all.len();
    for mut sealed in all {
        let value = seal::open(old, sealed.row(), &sealed.bytes)?;
        sealed.bytes = seal::seal(new, sealed.row(), &value)?;
        store::secrets::reseal(tx, &sealed).await?;
    }
    store::secrets::set_key_id(tx, &new.id()).await?;
    Ok(count)
}
