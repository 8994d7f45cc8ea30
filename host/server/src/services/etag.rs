//! Versions of things, by which a client says which one it means to change.

use moxxy_types::{
    digest,
    error::{Error, Problem, Result},
};
use serde::Serialize;

/// Which version a client expects to find.
#[derive(Debug, Clone, Default)]
pub enum Expected {
    #[default]
    Any,
    OneOf(Vec<String>),
}

/// The version of a thing as it is shown: it changes with any of it.
pub fn of(shown: &[u8]) -> String {
    let mut version = hex::encode(digest::sha256(shown));
    // 128 bits.
    version.truncate(32);
    version
}

impl Expected {
    /// An error if the thing is not what the client expects.
    pub fn check(&self, thing: &impl Serialize) -> Result<()> {
        let Self::OneOf(versions) = self else { return Ok(()) };
        let actual = of(&serde_json::to_vec(thing).map_err(Error::internal)?);
        if versions.contains(&actual) {
            return Ok(());
        }
        let message = "It has changed since you read it (`If-Match`); read it again, then decide";
        Err(Error::Stale(Problem::new("stale", message)))
    }
}
