//! Backup and restore. A backup is one file with everything except the master key, taken while a server runs or
//! not. A restore is verified, and all or nothing. A restored server does nothing by itself until it is activated,
//! because actions since the backup are unknown.

use std::{
    collections::HashSet,
    fs,
    io::{self, ErrorKind, Read as _},
    path::{Path, PathBuf},
};

use moxxy_runtime as plugins;
use moxxy_store::{
    self as store, Db,
    backup::{self, BackupInfo},
};
use moxxy_system::directory;
use moxxy_types::{
    clock::Clock,
    digest::Digest,
    error::{self, Error, Result},
};
use serde::Serialize;
use tempfile::{NamedTempFile, TempDir};

use crate::{
    config::Config,
    services::{audit, offline, runs, vault},
};

/// Maximum number of attempts. A backup restarts if a component was removed meanwhile.
const TRIES: usize = 5;
/// Suffixes of the files of a database.
const DATABASE: [&str; 4] = ["", "-wal", "-shm", "-journal"];
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Result of a backup.
#[derive(Debug, Serialize)]
pub struct CreatedBackup {
    pub file: PathBuf,
    pub taken_at: String,
    pub components: usize,
    /// Size of the file, in bytes.
    pub size: u64,
}

/// Result of a restore.
#[derive(Debug, Serialize)]
pub struct Restored {
    pub taken_at: String,
    pub components: usize,
    /// Number of secrets that the master key opens.
    pub secrets: usize,
    /// Number of runs that had not ended.
    pub unfinished: usize,
    pub audit: audit::Report,
}

/// Action for runs that had not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// Resume them at the next start.
    Resume,
    Cancel,
}

/// Writes a backup to a new file.
pub async fn create(config: &Config, file: &Path) -> Result<CreatedBackup> {
    let database = config.database();
    if !database.exists() {
        let message = format!("There is nothing to back up in {}", config.data.home.display());
        return Err(Error::conflict("no_database", message));
    }
    if file.exists() {
        return Err(already_there(file));
    }
    let folder = folder(file);
    for _ in 0..TRIES {
        let copy = NamedTempFile::new_in(folder).map_err(|e| unusable(file, e))?;
        let mut db = store::reader(&database).await?;
        up_to_date(&mut db, &database).await?;
        store::migration::vacuum_into(&mut db, copy.path()).await?;
        let about = BackupInfo { taken_at: Clock::system().timestamp(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let Some(components) = fill(config, &mut db, copy.path(), &about).await? else { continue };
        copy.as_file().sync_all().map_err(Error::from_write_error)?;
        let size = copy.as_file().metadata().map_err(Error::internal)?.len();
        copy.persist_noclobber(file).map_err(|e| match e.error.kind() {
            ErrorKind::AlreadyExists => already_there(file),
            _ => unusable(file, e.error),
        })?;
        directory::sync(folder).map_err(Error::from_write_error)?;
        return Ok(CreatedBackup { file: file.to_owned(), taken_at: about.taken_at, components, size });
    }
    Err(Error::unavailable("busy", "Components were removed all the while; try again"))
}

/// Checks that the database has the newest schema, so that this version can restore the backup.
async fn up_to_date(db: &mut Db, path: &Path) -> Result<()> {
    if store::migration::version(db, path).await? == store::migration::newest() {
        return Ok(());
    }
    let message = format!("{} is of an older Moxxy: start this one on it first", path.display());
    Err(Error::conflict("database_too_old", message))
}

/// Adds the components to a copy of the database. Returns their number, or `None` if one was removed meanwhile.
async fn fill(config: &Config, now: &mut Db, copy: &Path, about: &BackupInfo) -> Result<Option<usize>> {
    let mut db = backup::open(copy).await?;
    backup::begin(&mut db, about).await?;
    let digests = store::components::digests(&mut db).await?;
    for digest in &digests {
        let bytes = match fs::read(plugins::upload(&config.data.home, digest)) {
            Ok(bytes) if Digest::compute(&bytes) == *digest => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound && !store::components::digests(now).await?.contains(digest) => {
                return Ok(None);
            }
            Ok(_) => return Err(incomplete(digest, "was changed on disk")),
            Err(error) => return Err(incomplete(digest, &format!("cannot be read: {error}"))),
        };
        backup::add(&mut db, digest, &bytes).await?;
    }
    backup::close(db).await?;
    Ok(Some(digests.len()))
}

/// Restores a backup into an empty data directory. The master key must be provided, as for a start.
pub async fn restore(config: &Config, file: &Path) -> Result<Restored> {
    has_magic(file)?;
    let home = &config.data.home;
    let _lock = directory::lock(home)?;
    refuse_used(config)?;
    let copy = NamedTempFile::new_in(home).map_err(Error::from_write_error)?;
    let copied = fs::File::open(file).and_then(|mut from| io::copy(&mut from, &mut copy.as_file()));
    copied.map_err(|e| unusable(file, e))?;
    let mut db = backup::open(copy.path()).await?;
    let about = backup::read(&mut db, file).await?;
    let (staged, components) = unpack(&mut db, home).await?;
    backup::convert_to_database(&mut db, file, &about, &Clock::system().timestamp()).await?;
    let master = vault::master_of(config, &mut db).await?;
    let secrets = vault::open_all(&master, &mut db).await?;
    let audit = audit::verify_in(&mut db, &master, None).await?;
    let unfinished = store::runs::open(&mut db).await?.len();
    backup::close(db).await?;
    // Components first: they have no effect without the database, which requires them.
    move_into_home(&staged, home, &components)?;
    copy.as_file().sync_all().map_err(Error::from_write_error)?;
    copy.persist_noclobber(config.database()).map_err(|e| Error::from_write_error(e.error))?;
    directory::sync(home).map_err(Error::from_write_error)?;
    Ok(Restored { taken_at: about.taken_at, components: components.len(), secrets, unfinished, audit })
}

fn has_magic(file: &Path) -> Result<()> {
    let mut magic = [0; 16];
    let read = fs::File::open(file).and_then(|mut file| file.read_exact(&mut magic));
    match read {
        Ok(()) if magic == *MAGIC => Ok(()),
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => Err(unusable(file, error)),
        _ => Err(Error::conflict("backup_unusable", format!("{} is no backup", file.display()))),
    }
}

fn refuse_used(config: &Config) -> Result<()> {
    let database = config.database();
    let parts = DATABASE.map(|part| PathBuf::from(format!("{}{part}", database.display())));
    let Some(there) = parts.iter().find(|part| part.exists()) else { return Ok(()) };
    let message = format!("There is {} already: a backup is restored into an empty data directory", there.display());
    Err(Error::conflict("data_not_empty", message))
}

/// Writes the components to a temporary folder, after checking their digests.
async fn unpack(db: &mut Db, home: &Path) -> Result<(TempDir, HashSet<Digest>)> {
    let staged = TempDir::new_in(home).map_err(Error::from_write_error)?;
    let digests = store::components::digests(db).await?;
    for digest in &digests {
        let bytes = backup::component(db, digest).await?.filter(|bytes| Digest::compute(bytes) == *digest);
        let Some(bytes) = bytes else {
            return Err(Error::conflict("backup_unusable", format!("The backup lacks {digest}, or holds it changed")));
        };
        let path = staged.path().join(digest.hex());
        let written = fs::write(&path, bytes).and_then(|()| fs::File::open(&path)?.sync_all());
        written.map_err(Error::from_write_error)?;
    }
    Ok((staged, digests))
}

fn move_into_home(staged: &TempDir, home: &Path, digests: &HashSet<Digest>) -> Result<()> {
    let move_all = || {
        for digest in digests {
            let place = plugins::upload(home, digest);
            let folder = place.parent().unwrap_or(home);
            directory::make_private(folder)?;
            fs::rename(staged.path().join(digest.hex()), &place)?;
            directory::sync(folder)?;
        }
        Ok(())
    };
    move_all().map_err(Error::from_write_error)
}

/// Activates a restored server. Returns the number of runs that had not ended.
pub async fn activate(config: &Config, unfinished: Unfinished) -> Result<usize> {
    if !config.database().exists() {
        return Err(not_restored());
    }
    offline::with_store(config, async |store, _| {
        let activated = store.write(move |tx| {
            Box::pin(async move {
                if !backup::activate(tx).await? {
                    return Err(not_restored());
                }
                match unfinished {
                    Unfinished::Resume => Ok(store::runs::open(tx).await?.len()),
                    Unfinished::Cancel => runs::cancel_all(tx, "offline").await,
                }
            })
        });
        activated.await
    })
    .await
}

fn not_restored() -> Error {
    Error::conflict("not_restored", "Nothing waits for an activation here: no backup was restored, or it is active")
}

fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn already_there(file: &Path) -> Error {
    let message = format!("{} is there already, and is not overwritten: name another file", file.display());
    Error::conflict("already_there", message)
}

fn incomplete(digest: &Digest, why: &str) -> Error {
    let message = format!("The component {digest} {why}, so the backup would not be whole: install it again first");
    Error::conflict("component_unusable", message)
}

fn unusable(file: &Path, error: io::Error) -> Error {
    match error::is_full(&error) {
        true => Error::disk_full(),
        false => Error::invalid("unreadable_file", format!("Cannot use {}: {error}", file.display())),
    }
}
