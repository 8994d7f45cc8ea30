//! Tables of files that build scripts embed.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Returns the files and folders in a folder, in a stable order.
pub(crate) fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut entries: Vec<_> = entries.map(|entry| entry.unwrap().path().canonicalize().unwrap()).collect();
    entries.sort();
    entries
}

/// Writes the source of a slice.
pub(crate) fn write_table(file: &Path, entries: String) {
    fs::write(file, format!("&[{entries}]")).unwrap();
}
