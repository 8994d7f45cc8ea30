//! Durable values of a skill: what one call sets, a later one finds. No other skill and no other
//! agent sees them.
//!
//! What a call sets is kept when it ends with a result; a call that fails has set nothing. A key
//! has 1 to 256 bytes, a value at most 1 MiB; a skill keeps at most 10,000 values and 16 MiB for
//! an agent.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

use crate::bindings::tools::wasi::keyvalue::store;

/// Why a value could not be read or set; the text says it.
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
/// # Errors
///
/// When the host cannot read it.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    bucket()?.get(key).map_err(error)
}

/// Sets a value.
///
/// # Errors
///
/// When the key or the value is too large.
pub fn set(key: &str, value: &[u8]) -> Result<(), Error> {
    bucket()?.set(key, value).map_err(error)
}

/// Returns a value that [`set_json`] set.
///
/// # Errors
///
/// When the host cannot read it, or when it is not a `T`.
///
/// ```no_run
/// let visits: u32 = moxxy_sdk::keyvalue::get_json("visits")?.unwrap_or(0);
/// moxxy_sdk::keyvalue::set_json("visits", &(visits + 1))?;
/// # Ok::<(), moxxy_sdk::keyvalue::Error>(())
/// ```
pub fn get_json<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Error> {
    let parse = |value: Vec<u8>| serde_json::from_slice(&value);
    get(key)?.map(parse).transpose().map_err(|e| Error(format!("the value of {key:?} is not what it should be: {e}")))
}

/// Sets a value as JSON.
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
/// # Errors
///
/// When the key is too long.
pub fn delete(key: &str) -> Result<(), Error> {
    bucket()?.delete(key).map_err(error)
}

/// Lists all keys, in the order of their bytes.
///
/// # Errors
///
/// When the host cannot read them.
pub fn keys() -> Result<Vec<String>, Error> {
    let bucket = bucket()?;
    let mut page = bucket.list_keys(None).map_err(error)?;
    let mut keys = page.keys;
    while let Some(cursor) = page.cursor {
        page = bucket.list_keys(Some(cursor)).map_err(error)?;
        keys.append(&mut page.keys);
    }
    Ok(keys)
}

fn bucket() -> Result<store::Bucket, Error> {
    store::open("default").map_err(error)
}

fn error(error: store::Error) -> Error {
    Error(match error {
        store::Error::NoSuchStore => "there is no such store".to_owned(),
        store::Error::AccessDenied => "there is no store for this plugin here".to_owned(),
        store::Error::Other(message) => message,
    })
}
