//! The master key, from which every other key derives.

use moxxy_types::{
    digest,
    error::{Error, Result},
    ids,
};
use zeroize::Zeroizing;

#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub fn random() -> Result<Self> {
        Ok(Self(Zeroizing::new(ids::random()?)))
    }

    /// Parses 64 hexadecimal digits. `place` is named in the error.
    pub fn read(text: &str, place: &str) -> Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim(), &mut *key).map_err(|_| {
            Error::invalid("invalid_master_key", format!("The master key in {place} is not 64 hexadecimal digits"))
        })?;
        Ok(Self(key))
    }

    /// Returns an id that distinguishes keys without revealing them.
    pub fn id(&self) -> String {
        hex::encode(digest::derive(&self.0, "moxxy master key identity 1"))
    }

    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        digest::derive(&self.0, purpose)
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey")
    }
}
