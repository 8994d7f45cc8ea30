//! The master key, from which every other key is derived. It is configured, or in a file of the data directory that
//! is created at the first start. A rotation seals every secret again in one transaction. The new file is stored
//! beside the old one until then, so that a start after a crash uses the matching one.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use moxxy_secrets::{self as secrets, MasterKey};
use moxxy_store::{self as store, Db};
use moxxy_system::directory;
use moxxy_types::error::{Error, Result};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::config::Config;

const FILE: &str = "master.key";
const NEXT: &str = "master.key.next";

/// A key and its source.
#[derive(Debug)]
pub struct Found {
    pub key: MasterKey,
    pub place: Place,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    Configured,
    File,
    /// The new key of an interrupted rotation.
    Next,
}

/// Returns the configured key, or those in the data directory.
pub fn find(config: &Config) -> Result<Vec<Found>> {
    if let Some(text) = config.data.configured_key() {
        return Ok(vec![Found { key: MasterKey::read(text, "`data.master_key`")?, place: Place::Configured }]);
    }
    files(config)
}

/// Returns the keys in the data directory.
pub fn files(config: &Config) -> Result<Vec<Found>> {
    let home = &config.data.home;
    let mut found = Vec::new();
    for (name, place) in [(FILE, Place::File), (NEXT, Place::Next)] {
        let path = home.join(name);
        if path.exists() {
            let text = Zeroizing::new(fs::read_to_string(&path).map_err(|e| unreadable(&path, &e))?);
            found.push(Found { key: MasterKey::read(&text, &path.display().to_string())?, place });
        }
    }
    Ok(found)
}

/// Creates the key of the data directory.
pub fn make(config: &Config) -> Result<MasterKey> {
    let key = MasterKey::random()?;
    write(&config.data.home.join(FILE), &key)?;
    Ok(key)
}

/// Stores a new key beside the one in use.
pub fn prepare(config: &Config, key: &MasterKey) -> Result<()> {
    let path = next(config);
    if path.exists() {
        fs::remove_file(&path).map_err(|e| unreadable(&path, &e))?;
    }
    write(&path, key)
}

/// Replaces the old key by the new one.
pub fn finish(config: &Config) -> Result<()> {
    let path = config.data.home.join(FILE);
    fs::rename(next(config), &path).map_err(|e| unreadable(&path, &e))?;
    sync(&config.data.home)
}

/// Removes the new key of an interrupted rotation that had not sealed anything.
pub fn abandon(config: &Config) -> Result<()> {
    match fs::remove_file(next(config)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(unreadable(&next(config), &error)),
        _ => Ok(()),
    }
}

fn next(config: &Config) -> PathBuf {
    config.data.home.join(NEXT)
}

/// Writes a key file atomically, readable only by its owner.
fn write(path: &Path, key: &MasterKey) -> Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(directory).map_err(Error::internal)?;
    let text = Zeroizing::new(hex::encode(key.bytes()));
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(Error::internal)?;
    file.persist_noclobber(path).map_err(Error::internal)?;
    sync(directory)
}

fn sync(directory: &Path) -> Result<()> {
    directory::sync(directory).map_err(Error::from_write_error)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::conflict("data_unusable", format!("Cannot use the master key {}: {error}", path.display()))
}

/// Returns the master key that the vault is sealed with, for read-only use: an interrupted rotation stays as it is.
/// Returns any key if the vault does not record which one.
pub async fn master_of(config: &Config, db: &mut Db) -> Result<MasterKey> {
    let id = store::secrets::key_id(db).await?;
    let fits = |found: &Found| id.as_ref().is_none_or(|id| *id == found.key.id());
    let fitting = find(config)?.into_iter().find(fits);
    fitting.map(|found| found.key).ok_or_else(wrong_key)
}

pub(in crate::services) fn wrong_key() -> Error {
    let message = "The master key is not the one that the secrets and the audit log here are sealed by: give back that \
                   key, as MOXXY_MASTER_KEY, MOXXY_MASTER_KEY_FILE or `master.key` in the data directory; without it \
                   no secret can be read";
    Error::conflict("wrong_master_key", message)
}

/// Opens every secret of a database. Returns the number of secrets.
pub async fn open_all(key: &MasterKey, db: &mut Db) -> Result<usize> {
    let all = store::secrets::sealed(db).await?;
    for sealed in &all {
        secrets::open(key, sealed.into(), &sealed.bytes)?;
    }
    Ok(all.len())
}
