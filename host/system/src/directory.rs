//! Directories that only their owner can access.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use moxxy_types::error::{Error, Result};
use rustix::{
    fs::{FlockOperation, fcntl_lock},
    io::Errno,
};

/// Creates a directory and its missing parents with mode 0700.
pub fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Flushes a directory to disk, so that its entries survive a crash.
pub fn sync(path: &Path) -> io::Result<()> {
    File::open(path).and_then(|directory| directory.sync_all())
}

/// The bits of a mode that let the group or others write.
const OTHERS_WRITE: u32 = 0o022;

/// Locks the data directory for as long as the file is open, and creates it first if it is missing.
pub fn lock(home: &Path) -> Result<File> {
    let unusable = |e: std::io::Error| {
        let message = format!("Cannot use the data directory {}: {e}", home.display());
        Error::conflict("data_unusable", message)
    };
    make_private(home).map_err(unusable)?;
    let mode = fs::metadata(home).map_err(unusable)?.permissions().mode();
    if mode & OTHERS_WRITE != 0 {
        let message = format!("Others can write to the data directory {}: chmod go-w it", home.display());
        return Err(Error::conflict("data_unusable", message));
    }
    let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(home.join("moxxy.lock"));
    let lock = lock.map_err(unusable)?;
    // A lock of the process (fcntl), not of the open file: a forked child inherits the latter. If the server is
    // killed then, the child holds it until it executes its program, and a server started meanwhile would refuse
    // to start.
    match fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(Errno::AGAIN | Errno::ACCESS) => {
            let message = format!("Another Moxxy is using the data directory {}", home.display());
            Err(Error::conflict("data_in_use", message))
        }
        Err(error) => Err(unusable(error.into())),
    }
}
