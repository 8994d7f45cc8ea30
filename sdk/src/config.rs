//! The configuration that the operator gave this plugin.
//!
//! Every value arrives as a text; one that is not a string is its JSON text.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::host;

/// Why a configuration value could not be had.
///
/// ```
/// use moxxy_sdk::config::Error;
///
/// let wrong = moxxy_sdk::testing::Host::new().config("retries", "many").run(|| moxxy_sdk::config::parse::<u32>("retries"));
/// assert!(matches!(wrong, Err(Error::Unexpected { key, .. }) if key == "retries"));
/// ```
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
            Self::Unreadable(message) => write!(f, "the configuration cannot be read: {message}"),
            Self::Unexpected { key, .. } => write!(f, "the configuration value `{key}` is wrong"),
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
///
/// ```
/// let greeting = moxxy_sdk::config::get("greeting").unwrap_or_else(|| "Hello".to_owned());
/// # assert_eq!(greeting, "Hello");
/// ```
pub fn get(key: &str) -> Option<String> {
    host::config(key).ok().flatten()
}

/// Reads a value that is not a plain string: a number, a boolean, a list, an object.
///
/// ```
/// # fn main() -> Result<(), moxxy_sdk::config::Error> {
/// let retries: u32 = moxxy_sdk::config::parse("retries")?.unwrap_or(3);
/// # assert_eq!(retries, 3);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// When the host cannot read the value, or when it does not parse as a `T`.
pub fn parse<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Error> {
    let text = host::config(key).map_err(Error::Unreadable)?;
    text.map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|source| Error::Unexpected { key: key.to_owned(), source })
}
