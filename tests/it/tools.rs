//! System programs that tests use. A test whose program is missing is skipped with a message. If `CI` is set,
//! that is a failure.

use std::path::PathBuf;

/// Returns the first of these programs that is installed.
pub(crate) fn find(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // The folder of servers, which not every `PATH` contains.
    let folders: Vec<_> = std::env::split_paths(&path).chain(["/usr/sbin".into()]).collect();
    let found = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|f| f.is_file());
    if found.is_none() {
        skip(&format!("{} is not installed", names.join(" or ")));
    }
    found
}

pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    println!("skipped: {why}");
}
