//! Condition of the database file, as far as the server has noticed.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use moxxy_types::error::{Error, Result};

/// What is known of the database file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Sound,
    /// A query has read a damaged page.
    Damaged,
    /// The file, or its directory, was removed or replaced. What is written now is lost with the process.
    Missing,
}

#[derive(Debug, Clone)]
pub(crate) struct Monitor {
    path: PathBuf,
    /// Device and inode of the open file.
    identity: (u64, u64),
    is_damaged: Arc<AtomicBool>,
}

impl Monitor {
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)?, is_damaged: Arc::default() })
    }

    pub(crate) fn condition(&self) -> Condition {
        let is_missing = match identity(&self.path) {
            Ok(found) => found != self.identity,
            // Other errors may pass.
            Err(error) => matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        };
        if is_missing {
            return Condition::Missing;
        }
        if self.is_damaged.load(Relaxed) { Condition::Damaged } else { Condition::Sound }
    }

    pub(crate) fn record_damage(&self) {
        if !self.is_damaged.swap(true, Relaxed) {
            tracing::error!(path = %self.path.display(), "the database is damaged; restore a backup");
        }
    }

    /// Returns an error if the file is missing.
    pub(crate) fn check_present(&self) -> Result<()> {
        match self.condition() {
            Condition::Missing => Err(Error::data_missing(&self.path)),
            Condition::Sound | Condition::Damaged => Ok(()),
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|file| (file.dev(), file.ino()))
}
