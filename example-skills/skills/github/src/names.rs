//! Names and paths as they may stand in a URL.

use moxxy_sdk::skill::Error;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What is encoded in a part of a path.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A repository's name, of the form owner/name.
pub(crate) fn repo(repo: &str) -> Result<&str, Error> {
    match repo.split_once('/') {
        Some((owner, name)) if consists(owner, b"-_") && consists(name, b"-_.") && !matches!(name, "." | "..") => {
            Ok(repo)
        }
        _ => Err(Error::invalid(format!("`repo` is of the form owner/name, such as rust-lang/rust, not {repo:?}"))),
    }
}

/// A path within a repository, encoded, with a slash before each part.
pub(crate) fn path(path: &str) -> Result<String, Error> {
    if path.is_empty() {
        return Ok(String::new());
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        let form = "leads from the repository's topmost folder, such as src/lib.rs, without empty parts, `.` and `..`";
        return Err(Error::invalid(format!("`path` {form}; it is {path:?}")));
    }
    Ok(path.split('/').map(|part| format!("/{}", utf8_percent_encode(part, ENCODED))).collect())
}

/// Whether a text has something, and nothing but letters, digits and these.
fn consists(text: &str, others: &[u8]) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
}
