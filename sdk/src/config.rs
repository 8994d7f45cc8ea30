//! The configuration that the operator gave this plugin.
//!
//! Every value arrives as a text; one that is not a string is its JSON text.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::bindings::plugin::wasi::config::store;

/// Why a configuration value could not be had.
#[derive(Debug)]
pub enum Error {
    /// The host could not read it.
    Unreadable(String),
    /// It is there, and is not what the plugin expects.
    Unexpected {
        /// Which value.
        key: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(message) => {
                write!(f, "the configuration cannot be read: {message}")
            }
            Self::Unexpected { key, source } => {
                write!(f, "the configuration value `{key}` is wrong: {source}")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(_) => None,
            Self::Unexpected { source, .. } => Some(source),
        }
    }
}

/// Returns a value as text, or `None` where there is none, or none can be read.
pub fn get(key: &str) -> Option<String> {
    store::get(key).ok().flatten()
}

/// Reads a value that is not a plain string: a number, a boolean, a list, an object.
///
/// # Errors
///
/// When the host cannot read the value, or when it does not parse as a `T`.
pub fn parse<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Error> {
    let text = store::get(key).map_err(|error| match error {
        store::Error::Upstream(message) | store::Error::Io(message) => Error::Unreadable(message),
    })?;
    text.map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|source| Error::Unexpected { key: key.to_owned(), source })
}
