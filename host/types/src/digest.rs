//! SHA-256 digests, which identify components, and keyed hashes.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::Error;

pub type Hmac256 = Hmac<Sha256>;

/// The SHA-256 of a component as it was uploaded, written `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
#[serde(try_from = "String")]
#[schemars(inline, extend("pattern" = "^sha256:[0-9a-f]{64}$"))]
pub struct Digest(String);

impl Digest {
    pub fn compute(bytes: &[u8]) -> Self {
        Self(format!("sha256:{}", hex::encode(sha256(bytes))))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Wraps a stored value, which was validated before it was stored.
    pub fn from_db(text: String) -> Self {
        Self(text)
    }

    /// Returns the hexadecimal digits without the prefix, safe as a file name.
    pub fn hex(&self) -> &str {
        self.0.strip_prefix("sha256:").unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        let digits = text.strip_prefix("sha256:").unwrap_or_default();
        if digits.len() == 64 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(Self(text));
        }
        Err(Error::invalid("invalid_digest", "A digest is `sha256:` and 64 lower-case hexadecimal digits"))
    }
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// HMAC key for one purpose.
#[derive(Clone, Copy)]
pub struct MacKey([u8; 32]);

impl MacKey {
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    pub fn start(&self) -> Hmac256 {
        new_hmac(&self.0)
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey")
    }
}

/// Starts a keyed hash (HMAC-SHA-256, RFC 2104).
pub fn new_hmac(key: &[u8; 32]) -> Hmac256 {
    // The key is shorter than a block of the hash, so RFC 2104 pads it with zeros.
    let mut block = [0; 64];
    let (start, _) = block.split_at_mut(key.len());
    start.copy_from_slice(key);
    Hmac256::new(&block.into())
}

/// Computes HMAC-SHA-256 (RFC 2104) with a key of any length.
pub fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    // A key longer than a block is hashed first.
    let mut block = [0; 64];
    match block.get_mut(..key.len()) {
        Some(start) => start.copy_from_slice(key),
        None => block[..32].copy_from_slice(&sha256(key)),
    }
    let mut mac = Hmac256::new(&block.into());
    mac.update(data);
    mac.finalize().into_bytes().into()
}

/// Derives a key for one purpose from the master key.
pub fn derive(master: &[u8; 32], purpose: &str) -> [u8; 32] {
    let mut hash = new_hmac(master);
    hash.update(purpose.as_bytes());
    hash.finalize().into_bytes().into()
}
