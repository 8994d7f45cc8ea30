//! Versions of resources, with which a client says which one it means to change (`If-Match`).

use moxxy_types::{
    digest,
    error::{Error, Problem, Result},
};
use serde::Serialize;

/// Versions that a client accepts.
#[derive(Debug, Clone, Default)]
pub enum Expected {
    #[default]
    Any,
    OneOf(Vec<String>),
}

/// Returns the version of a serialized resource: a hash of all its bytes.
pub fn compute(shown: &[u8]) -> String {
    let mut version = hex::encode(digest::sha256(shown));
    // 128 bits.
    version.truncate(32);
    version
}

impl Expected {
    /// Returns an error if the version of the resource is not an expected one.
    pub fn check(&self, thing: &impl Serialize) -> Result<()> {
        let Self::OneOf(versions) = self else { return Ok(()) };
        let actual = compute(&serde_json::to_vec(thing).map_err(Error::internal)?);
        if versions.contains(&actual) {
            return Ok(());
        }
        let message = "It has changed since you read it (`If-Match`); read it again, then decide";
        Err(Error::Stale(Problem::new("stale", message)))
    }
}
