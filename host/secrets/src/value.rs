//! Value of a secret, wiped from memory when its last clone is dropped, and never printed.

use std::{fmt, sync::Arc};

use moxxy_types::error::Error;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Value of a secret, 1 byte to 64 KiB. Clones share the bytes.
#[derive(Clone)]
pub struct Value(Arc<Zeroizing<Vec<u8>>>);

impl Value {
    /// Maximum length of a value, in bytes.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// Takes the bytes. Fails and wipes them if there are none or too many.
    pub fn new(bytes: Vec<u8>) -> Result<Self, Error> {
        let bytes = Zeroizing::new(bytes);
        match bytes.len() {
            1..=Self::MAX_BYTES => Ok(Self(Arc::new(bytes))),
            0 => Err(Error::invalid("invalid_secret", "The value of a secret is empty")),
            length => Err(Error::invalid(
                "invalid_secret",
                format!("The value of a secret has {length} bytes; the limit is {}", Self::MAX_BYTES),
            )),
        }
    }

    /// Returns the bytes. A caller that copies them must wipe the copy.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// Constant-time comparison: its duration reveals only the lengths.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl Eq for Value {}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value")
    }
}
