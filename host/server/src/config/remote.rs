//! What the environment says to the commands that talk to a server; flags stand above it.

use std::path::{Path, PathBuf};

use moxxy_types::error::{Error, Result};

use super::Hidden;

/// Where the server is, and how it is reached.
#[derive(Debug, Default)]
pub struct Remote {
    pub url: Option<String>,
    pub token: Option<Hidden>,
    /// The certificate of an authority to trust instead of the system's.
    pub ca: Option<PathBuf>,
}

impl Remote {
    pub fn load() -> Result<Self> {
        let token = match (variable("MOXXY_TOKEN"), variable("MOXXY_TOKEN_FILE")) {
            (Some(token), _) => Some(Hidden(token)),
            (None, Some(file)) => Some(token_in(Path::new(&file))?),
            (None, None) => None,
        };
        Ok(Self { url: variable("MOXXY_URL"), token, ca: variable("MOXXY_CA").map(PathBuf::from) })
    }
}

/// A token's text, the only one in a file.
pub fn token_in(file: &Path) -> Result<Hidden> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| Error::invalid("unreadable_token", format!("Cannot read the token in {}: {e}", file.display())))?;
    match text.trim() {
        "" => Err(Error::invalid("unreadable_token", format!("There is no token in {}", file.display()))),
        token => Ok(Hidden(token.to_owned())),
    }
}

/// A variable of the environment that is not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
