//! Versions of resources, with which a client says which one it means to change (`If-Match`).

use moxxy_types::{
    agents::Agent,
    checks::Report,
    digest,
    error::{Error, Problem, Result},
    policy::Policy,
    secrets::Secret,
};
use serde::Serialize;

/// Versions that a client accepts.
#[derive(Debug, Clone, Default)]
pub enum Expected {
    #[default]
    Any,
    OneOf(Vec<String>),
}

/// Returns 128 bits of a hash.
fn compute(version: &(impl Serialize + ?Sized)) -> Result<String> {
    let mut hash = hex::encode(digest::sha256(&serde_json::to_vec(version).map_err(Error::internal)?));
    hash.truncate(32);
    Ok(hash)
}

/// A resource with an `ETag`.
pub trait Versioned: Serialize {
    /// Returns the version. By default it stands for all that clients see of the resource; what changes by itself,
    /// such as a status or a count of uses, should be left out.
    fn version(&self) -> Result<String> {
        compute(self)
    }
}

impl Versioned for Agent {
    fn version(&self) -> Result<String> {
        compute(&(self.key.0, &self.settings))
    }
}

impl Versioned for Policy {
    fn version(&self) -> Result<String> {
        compute(&(&self.tools, &self.idempotent, self.self_approval, self.client_tools))
    }
}

impl Versioned for Report {}
impl Versioned for Secret {}

/// Returns the tag of a response: the version, which `If-Match` is about, and a hash of all that clients see, so that
/// `If-None-Match` never hides a change.
pub fn tag(resource: &impl Versioned) -> Result<String> {
    Ok(format!("{}-{}", resource.version()?, compute(resource)?))
}

impl Expected {
    /// Returns an error if the version of the resource is not an expected one.
    pub fn check(&self, resource: &impl Versioned) -> Result<()> {
        let Self::OneOf(versions) = self else { return Ok(()) };
        let actual = resource.version()?;
        if versions.iter().any(|tag| tag.split('-').next() == Some(&*actual)) {
            return Ok(());
        }
        let message = "It has changed since you read it (`If-Match`); read it again, then decide";
        Err(Error::Stale(Problem::new("stale", message)))
    }
}
