//! Programs of the system that tests use. A test whose program is missing is skipped, and says
//! so; where everything is checked, that is a failure.

use std::path::PathBuf;

/// The first of these programs that is installed.
pub fn find(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where servers lie, which not everybody's path names.
    let folders: Vec<_> = std::env::split_paths(&path).chain(["/usr/sbin".into()]).collect();
    let found = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|f| f.is_file());
    if found.is_none() {
        skip(&format!("{} is not installed", names.join(" or ")));
    }
    found
}

pub fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    println!("skipped: {why}");
}
