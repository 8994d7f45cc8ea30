//! Environment variables of the client commands. Flags override them.

use std::path::{Path, PathBuf};

use moxxy_types::error::{Error, Result};
use secrecy::SecretString;

/// Address of the server and credentials for it.
#[derive(Debug, Default)]
pub struct Remote {
    pub url: Option<String>,
    pub token: Option<SecretString>,
    /// File with the CA certificate to trust instead of the system's.
    pub ca: Option<PathBuf>,
}

impl Remote {
    pub fn load() -> Result<Self> {
        let token = match (variable("MOXXY_TOKEN"), variable("MOXXY_TOKEN_FILE")) {
            (Some(token), _) => Some(token.into()),
            (None, Some(file)) => Some(token_in(Path::new(&file))?),
            (None, None) => None,
        };
        Ok(Self { url: variable("MOXXY_URL"), token, ca: variable("MOXXY_CA").map(PathBuf::from) })
    }
}

/// Reads a token from a file that contains nothing else.
pub fn token_in(file: &Path) -> Result<SecretString> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| Error::invalid("unreadable_token", format!("Cannot read the token in {}: {e}", file.display())))?;
    match text.trim() {
        "" => Err(Error::invalid("unreadable_token", format!("There is no token in {}", file.display()))),
        token => Ok(token.into()),
    }
}

/// Returns an environment variable, or `None` if it is empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
