//! SDK embedded in this binary.
//!
//! A crate depends on `moxxy-sdk` as if a registry had it. Where none has, a Cargo configuration file gives its
//! path.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use moxxy_server::config::{Config, Flags};
use moxxy_system::directory;
use moxxy_types::{
    digest::Digest,
    error::{Error, Result},
};
use serde_json::json;

use super::terminal::Terminal;

/// Paths and contents of the crates `moxxy-sdk` and `moxxy-sdk-macros`, of the workspace around
/// them, and of the WIT.
static FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// First line of a file that this program wrote and may overwrite.
const GENERATED_HEADER: &str = "# Written by moxxy: where its SDK is on this machine. Not for version control.";

/// Unpacks the SDK into the data directory if it is missing. Returns the folder of `moxxy-sdk`.
pub(crate) fn unpack(flags: &Flags) -> Result<PathBuf> {
    let sdks = Config::load(flags)?.data.home.join("sdk");
    let all: String = FILES.iter().flat_map(|(path, content)| [*path, "\n", *content, "\n"]).collect();
    let version: String = Digest::compute(all.as_bytes()).hex().chars().take(12).collect();
    let folder = sdks.join(format!("{}-{version}", env!("CARGO_PKG_VERSION")));
    if !folder.is_dir() {
        write_all(&sdks, &folder).map_err(|e| unwritable(&folder, &e))?;
    }
    folder.join("sdk").canonicalize().map_err(|e| unwritable(&folder, &e))
}

/// Writes to a temporary folder and renames it, so that an existing folder is always complete.
fn write_all(sdks: &Path, folder: &Path) -> io::Result<()> {
    directory::make_private(sdks)?;
    let temporary = tempfile::TempDir::new_in(sdks)?;
    for (path, content) in FILES {
        let path = temporary.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or(sdks))?;
        fs::write(path, content)?;
    }
    match fs::rename(temporary.path(), folder) {
        // Another process created it first.
        Err(_) if folder.is_dir() => Ok(()),
        other => other,
    }
}

/// Returns the Cargo setting with the SDK's path.
pub(crate) fn patch(sdk: &Path) -> String {
    // A JSON string is also a TOML string.
    format!("patch.crates-io.moxxy-sdk.path={}", json!(sdk))
}

/// Writes the SDK's path to the Cargo configuration of an author's crate or workspace. A configuration that the
/// author wrote stays unchanged.
pub(crate) fn write_cargo_config(terminal: Terminal, root: &Path, sdk: &Path) -> Result<()> {
    let path = root.join(".cargo").join("config.toml");
    let patch = patch(sdk);
    let ours = match fs::read_to_string(&path) {
        Ok(text) if text.contains(&patch) => return Ok(()),
        Ok(text) => text.starts_with(GENERATED_HEADER),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if !ours {
        terminal.note(&format!("For cargo's own commands, add to {}:\n    {patch}", path.display()));
        return Ok(());
    }
    let written = fs::create_dir_all(root.join(".cargo"))
        .and_then(|()| fs::write(&path, format!("{GENERATED_HEADER}\n{patch}\n")));
    written.map_err(|e| unwritable(&path, &e))
}

pub(crate) fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Error::conflict("unwritable", format!("Cannot write {}: {error}", path.display()))
}
