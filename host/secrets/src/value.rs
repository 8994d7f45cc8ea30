//! A secret's value: wiped from memory when its last holder lets go of it, and shown by nothing.

use std::{fmt, sync::Arc};

use moxxy_types::error::Error;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// 1 byte to 64 KiB. Clones share the bytes.
#[derive(Clone)]
pub struct Value(Arc<Zeroizing<Vec<u8>>>);

impl Value {
    pub const LONGEST: usize = 64 * 1024;

    /// Takes the bytes, and wipes them if they are none or too many.
    pub fn new(bytes: Vec<u8>) -> Result<Self, Error> {
        let bytes = Zeroizing::new(bytes);
        match bytes.len() {
            1..=Self::LONGEST => Ok(Self(Arc::new(bytes))),
            0 => Err(Error::invalid("invalid_secret", "The value of a secret is empty")),
            length => Err(Error::invalid(
                "invalid_secret",
                format!("The value of a secret has {length} bytes; the limit is {}", Self::LONGEST),
            )),
        }
    }

    /// The bytes themselves. Whoever copies them wipes the copy.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// In a time that tells nothing of the bytes, only of the lengths.
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
