//! Durable values of a skill: what one call sets, a later one finds. No other skill and no other
//! agent sees them.
//!
//! What a call sets is kept when it ends with a result; a call that fails has set nothing. Of two
//! calls at the same time that set one key, the one that ends last counts. A key has 1 to 256
//! bytes, a value at most 1 MiB; a call sets at most 1,000 keys and 16 MiB, and a skill keeps at
//! most 10,000 values and 16 MiB for an agent.
//!
//! ```
//! use moxxy_sdk::keyvalue;
//!
//! # fn main() -> Result<(), keyvalue::Error> {
//! let visits: u32 = keyvalue::get_json("visits")?.unwrap_or(0);
//! keyvalue::set_json("visits", &(visits + 1))?;
//! assert_eq!(keyvalue::keys()?, ["visits"]);
//! # Ok(())
//! # }
//! ```

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

use crate::host;

/// Why a value could not be read or set; the text says it.
///
/// ```
/// let error = moxxy_sdk::keyvalue::set("", b"value").unwrap_err();
/// assert_eq!(error.to_string(), "a key has 1 to 256 bytes, not 0");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Returns a value, or `None` where there is none.
///
/// ```
/// assert_eq!(moxxy_sdk::keyvalue::get("draft"), Ok(None));
/// ```
///
/// # Errors
///
/// When the host cannot read it.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    host::get(key).map_err(Error)
}

/// Sets a value.
///
/// ```
/// # fn main() -> Result<(), moxxy_sdk::keyvalue::Error> {
/// moxxy_sdk::keyvalue::set("draft", b"Dear Ada")?;
/// assert_eq!(moxxy_sdk::keyvalue::get("draft")?.as_deref(), Some(&b"Dear Ada"[..]));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// When the key or the value is too large.
pub fn set(key: &str, value: &[u8]) -> Result<(), Error> {
    host::set(key, value).map_err(Error)
}

/// Returns a value that [`set_json`] set.
///
/// ```
/// let visits: Option<u32> = moxxy_sdk::keyvalue::get_json("visits")?;
/// # assert_eq!(visits, None);
/// # Ok::<(), moxxy_sdk::keyvalue::Error>(())
/// ```
///
/// # Errors
///
/// When the host cannot read it, or when it is not a `T`.
pub fn get_json<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Error> {
    let parse = |value: Vec<u8>| serde_json::from_slice(&value);
    get(key)?.map(parse).transpose().map_err(|e| Error(format!("the value of {key:?} is not what it should be: {e}")))
}

/// Sets a value as JSON.
///
/// ```
/// # fn main() -> Result<(), moxxy_sdk::keyvalue::Error> {
/// moxxy_sdk::keyvalue::set_json("tags", &["urgent", "home"])?;
/// # assert_eq!(moxxy_sdk::keyvalue::get_json::<Vec<String>>("tags")?.unwrap(), ["urgent", "home"]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// When the key or the value is too large, or when the value cannot be written as JSON.
pub fn set_json<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<(), Error> {
    let value = serde_json::to_vec(value).map_err(|e| Error(format!("the value of {key:?} is no JSON: {e}")))?;
    set(key, &value)
}

/// Removes a value; there need not be one.
///
/// ```
/// moxxy_sdk::keyvalue::delete("draft")?;
/// # Ok::<(), moxxy_sdk::keyvalue::Error>(())
/// ```
///
/// # Errors
///
/// When the key is too long.
pub fn delete(key: &str) -> Result<(), Error> {
    host::delete(key).map_err(Error)
}

/// Lists all keys, in the order of their bytes.
///
/// ```
/// # fn main() -> Result<(), moxxy_sdk::keyvalue::Error> {
/// for key in moxxy_sdk::keyvalue::keys()?.iter().filter(|key| key.starts_with("draft/")) {
///     moxxy_sdk::keyvalue::delete(key)?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// When the host cannot read them.
pub fn keys() -> Result<Vec<String>, Error> {
    host::keys().map_err(Error)
}
