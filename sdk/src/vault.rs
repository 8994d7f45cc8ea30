//! Secrets that the operator granted to this plugin.
//!
//! A plugin does not see a secret. It puts the secret's [placeholder](Secret::placeholder) where
//! the value belongs, and the host puts the value in on the way out:
//!
//! ```
//! # fn header() -> Result<String, moxxy_sdk::vault::Error> {
//! let token = moxxy_sdk::vault::open("api_token")?;
//! let header = format!("Bearer {}", token.placeholder());
//! # Ok(header)
//! # }
//! # let mut host = moxxy_sdk::testing::Host::new().secret("api_token", "t0ps3cret");
//! # assert!(!host.run(header).unwrap().contains("t0ps3cret"));
//! ```

use crate::{bindings::plugin::moxxy::plugin::vault, host};

/// Why a secret cannot be opened or used.
///
/// ```
/// use moxxy_sdk::vault::{self, Error};
///
/// assert!(matches!(vault::open("api_token"), Err(Error::Denied(_))));
/// ```
pub use vault::Error;

/// A secret that was opened, for the rest of this call. See [`open`].
#[derive(Debug)]
pub struct Secret(host::Secret);

impl Secret {
    /// Returns a text of fixed length in `A-Z`, `a-z`, `0-9`, valid for this call. Where it stands
    /// in a request to a granted host, in a granted place, the host puts the value in; a request
    /// that carries it anywhere else is refused.
    ///
    /// ```
    /// let mut host = moxxy_sdk::testing::Host::new().secret("api_token", "t0ps3cret");
    /// let sent = host.run(|| moxxy_sdk::vault::open("api_token").unwrap().placeholder());
    /// assert_eq!(sent, moxxy_sdk::testing::placeholder("api_token"));
    /// ```
    pub fn placeholder(&self) -> String {
        host::placeholder(&self.0)
    }
}

/// Opens the secret that the manifest asks for by this name.
///
/// ```
/// # let mut host = moxxy_sdk::testing::Host::new().secret("api_token", "t0ps3cret");
/// # host.run(|| -> Result<(), moxxy_sdk::vault::Error> {
/// let token = moxxy_sdk::vault::open("api_token")?;
/// # Ok(())
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// [`Error::Denied`] when nothing grants it; its text says which request would.
pub fn open(name: &str) -> Result<Secret, Error> {
    host::open(name).map(Secret)
}

/// Opens a secret and returns its placeholder, which is all that most plugins need.
///
/// ```
/// # let mut host = moxxy_sdk::testing::Host::new().secret("api_token", "t0ps3cret");
/// # host.run(|| -> Result<(), moxxy_sdk::vault::Error> {
/// let header = format!("Bearer {}", moxxy_sdk::vault::placeholder("api_token")?);
/// # Ok(())
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// As [`open`].
pub fn placeholder(name: &str) -> Result<String, Error> {
    open(name).map(|secret| secret.placeholder())
}

/// Returns HMAC-SHA-256 over `data`, keyed by the secret: 32 bytes. It needs a grant in the mode
/// `sign`.
///
/// ```
/// # let mut host = moxxy_sdk::testing::Host::new().secret("signing_key", "t0ps3cret");
/// # host.run(|| -> Result<(), moxxy_sdk::vault::Error> {
/// let key = moxxy_sdk::vault::open("signing_key")?;
/// let signature = moxxy_sdk::vault::hmac_sha256(&key, b"to be signed")?;
/// assert_eq!(signature.len(), 32);
/// # Ok(())
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// As [`open`].
pub fn hmac_sha256(secret: &Secret, data: &[u8]) -> Result<Vec<u8>, Error> {
    host::hmac_sha256(&secret.0, data)
}

/// Returns the value itself. It needs a grant in the mode `reveal`, and each use is audited.
///
/// ```
/// # let mut host = moxxy_sdk::testing::Host::new().secret("password", "t0ps3cret");
/// # host.run(|| -> Result<(), moxxy_sdk::vault::Error> {
/// let password = moxxy_sdk::vault::reveal(&moxxy_sdk::vault::open("password")?)?;
/// # assert_eq!(password, "t0ps3cret");
/// # Ok(())
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// As [`open`].
pub fn reveal(secret: &Secret) -> Result<String, Error> {
    host::reveal(&secret.0)
}
