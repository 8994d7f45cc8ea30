//! Keys of the audit chain, one for each master key so far. Earlier keys are stored, sealed with the newest master
//! key, so that old entries can be verified.

use moxxy_secrets::{self as secrets, MasterKey};
use moxxy_store::{
    self as store, Db, Store, Tx,
    audit::{Ends, Key},
};
use moxxy_types::error::{Error, Result};

use crate::services::audit::verify::{NO_KEY_ID, loss};

/// Starts to write entries under the newest key. `new` is whether the vault is new: then the log must be new too.
/// Detected tampering is logged, and the log is marked permanently.
pub async fn begin(store: &Store, master: &MasterKey, new: bool) -> Result<()> {
    let keys = store::audit::keys(&mut *store.read().await?).await?;
    let key = match keys.last() {
        Some((first, sealed)) => open(master, *first, sealed)?,
        None => first(store, master).await?,
    };
    store.chain(key.clone());
    let mut db = store.read().await?;
    let (ends, fit) = store::audit::verify_ends(&mut db, &key).await?;
    let found = match loss(&mut db, &ends).await? {
        _ if !keys.is_empty() && new => Some(NO_KEY_ID.to_owned()),
        None if !fit => Some("the log or the record of its ends was changed".to_owned()),
        None if ends.broken > 0 => Some(format!("it was changed before entry {} was written", ends.broken)),
        found => found,
    };
    let Some(found) = found else { return Ok(()) };
    tracing::error!("the audit log was tampered with: {found}; run `moxxy audit verify`");
    store.write(|tx| Box::pin(store::audit::mark_broken(tx))).await
}

async fn first(store: &Store, master: &MasterKey) -> Result<Key> {
    let key = derived(master);
    let (sealed, ours) = (seal(master, 1, &key)?, key.clone());
    let broken = if store.precedes_log() { Ends::PREDATES_LOG } else { 0 };
    let write = async move |tx: &mut Tx| {
        store::audit::set_key(tx, 1, &sealed).await?;
        store::audit::set_ends(tx, &Ends { broken, ..Ends::default() }, &ours).await
    };
    store.write(move |tx| Box::pin(async move { write(tx).await })).await?;
    Ok(key)
}

/// Seals the keys with another master key, and adds a key that is derived from it.
pub async fn renew(tx: &mut Tx, old: &MasterKey, new: &MasterKey) -> Result<()> {
    let mut newest = None;
    for (first, sealed) in store::audit::keys(tx).await? {
        let key = open(old, first, &sealed)?;
        store::audit::set_key(tx, first, &seal(new, first, &key)?).await?;
        newest = Some(key);
    }
    let Some(before) = newest else { return Ok(()) };
    let ends = store::audit::ends_for_update(tx, &before).await?;
    let (first, key) = (ends.last + 1, derived(new));
    store::audit::set_key(tx, first, &seal(new, first, &key)?).await?;
    store::audit::set_ends(tx, &ends, &key).await
}

/// Returns every key with the position of its first entry.
pub(super) async fn all(master: &MasterKey, db: &mut Db) -> Result<Vec<(i64, Key)>> {
    let sealed = store::audit::keys(db).await?;
    sealed.iter().map(|(first, sealed)| Ok((*first, open(master, *first, sealed)?))).collect()
}

fn open(master: &MasterKey, first: i64, sealed: &[u8]) -> Result<Key> {
    let (id, name) = name(first);
    let bytes = secrets::open(master, secrets::Row { id: &id, name: &name, version: 1 }, sealed)?;
    bytes.as_slice().try_into().map(Key::new).map_err(|_| Error::internal("a key of the audit log has another length"))
}

fn seal(master: &MasterKey, first: i64, key: &Key) -> Result<Vec<u8>> {
    let (id, name) = name(first);
    secrets::seal(master, secrets::Row { id: &id, name: &name, version: 1 }, key.bytes())
}

fn name(first: i64) -> (String, String) {
    ("audit".to_owned(), first.to_string())
}

fn derived(master: &MasterKey) -> Key {
    Key::new(master.derive("moxxy audit log 1"))
}
