//! Secrets that the operator granted to this plugin.
//!
//! A plugin does not see a secret. It puts the secret's [placeholder](Secret::placeholder) where
//! the value belongs, and the host puts the value in on the way out:
//!
//! ```no_run
//! # fn main() -> Result<(), moxxy_sdk::vault::Error> {
//! let token = moxxy_sdk::vault::open("api_token")?;
//! let header = format!("Bearer {}", token.placeholder());
//! # Ok(())
//! # }
//! ```

use crate::bindings::plugin::moxxy::plugin::{vault, vault_reveal, vault_sign};

pub use vault::{Error, Secret};

/// Opens the secret that the manifest asks for by this name.
///
/// # Errors
///
/// [`Error::Denied`] when nothing grants it; its text says which request would.
pub fn open(name: &str) -> Result<Secret, Error> {
    vault::open(name)
}

/// Opens a secret and returns its placeholder, which is all that most plugins need.
///
/// # Errors
///
/// As [`open`].
pub fn placeholder(name: &str) -> Result<String, Error> {
    open(name).map(|secret| secret.placeholder())
}

/// Returns HMAC-SHA-256 over `data`, keyed by the secret. It needs a grant in the mode `sign`.
///
/// # Errors
///
/// As [`open`].
pub fn hmac_sha256(secret: &Secret, data: &[u8]) -> Result<Vec<u8>, Error> {
    vault_sign::hmac_sha256(secret, data)
}

/// Returns the value itself. It needs a grant in the mode `reveal`, and each use is audited.
///
/// # Errors
///
/// As [`open`].
pub fn reveal(secret: &Secret) -> Result<String, Error> {
    vault_reveal::reveal(secret)
}
