//! The master key, from which every other key derives: configured, or in a file of the data
//! directory that is made at the first start. Its rotation seals every secret anew in one
//! transaction; the new file lies beside the old one until then, so that a start after a crash
//! takes the one that fits.

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

/// A key, and where it comes from.
#[derive(Debug)]
pub struct Found {
    pub key: MasterKey,
    pub place: Place,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    Configured,
    File,
    /// Of a rotation that did not end.
    Next,
}

/// The configured key, or those in the data directory.
pub fn find(config: &Config) -> Result<Vec<Found>> {
    if let Some(text) = config.data.master_key.expose() {
        return Ok(vec![Found { key: MasterKey::read(text, "`data.master_key`")?, place: Place::Configured }]);
    }
    files(config)
}

/// The keys in the data directory.
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

/// Makes the data directory's key.
pub fn make(config: &Config) -> Result<MasterKey> {
    let key = MasterKey::random()?;
    write(&config.data.home.join(FILE), &key)?;
    Ok(key)
}

/// Lays a new key beside the one in use.
pub fn prepare(config: &Config, key: &MasterKey) -> Result<()> {
    let path = next(config);
    if path.exists() {
        fs::remove_file(&path).map_err(|e| unreadable(&path, &e))?;
    }
    write(&path, key)
}

/// Puts the new key in the place of the old one.
pub fn finish(config: &Config) -> Result<()> {
    let path = config.data.home.join(FILE);
    fs::rename(next(config), &path).map_err(|e| unreadable(&path, &e))?;
    sync(&config.data.home)
}

/// Removes what a rotation left that had not sealed anything.
pub fn abandon(config: &Config) -> Result<()> {
    match fs::remove_file(next(config)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(unreadable(&next(config), &error)),
        _ => Ok(()),
    }
}

fn next(config: &Config) -> PathBuf {
    config.data.home.join(NEXT)
}

/// Readable by its owner alone; whole, or not there.
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

/// The master key that the vault is sealed by, for those who only read: nothing is put right. Any, where the vault
/// does not say.
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

/// Opens every secret of a database. Returns how many there are.
pub async fn open_all(key: &MasterKey, db: &mut Db) -> Result<usize> {
    let all = store::secrets::sealed(db).await?;
    for sealed in &all {
        secrets::open(key, sealed.into(), &sealed.bytes)?;
    }
    Ok(all.len())
}
