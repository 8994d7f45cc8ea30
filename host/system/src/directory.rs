//! Directories that nobody but their owner can enter.

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::Path,
};

/// Makes a directory, and those above it, unless it is there.
pub fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes sure that the names in a directory outlast a crash.
pub fn sync(path: &Path) -> io::Result<()> {
    File::open(path).and_then(|directory| directory.sync_all())
}
