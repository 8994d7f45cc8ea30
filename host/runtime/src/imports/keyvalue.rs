//! `wasi:keyvalue/store`: durable key-value storage. Writes are staged here; the caller commits them with the
//! call's result.

use std::collections::BTreeSet;

use wasmtime::component::Resource;

use crate::{
    bindings::waiting::wasi::keyvalue::store::{Error, Host, HostBucket, KeyResponse},
    context::Storage,
    state::CallState,
};

/// Maximum length of a key, in bytes.
const MAX_KEY_BYTES: usize = 256;
/// Maximum size of a value, in bytes.
const MAX_VALUE_BYTES: usize = 1024 * 1024;
/// Number of keys per page of a listing.
const KEYS_PER_PAGE: usize = 256;
/// Maximum size of the writes of one call, keys and values together, in bytes.
const MAX_STAGED_BYTES: usize = 16 * 1024 * 1024;
/// Maximum number of keys that one call may set or delete. Each costs time of the server's single writer.
const MAX_STAGED_KEYS: usize = 1000;

/// Maximum number of listed keys that one call holds in all its buckets. It exceeds the number of keys that a
/// skill may store.
const MAX_LISTED_KEYS: usize = 20_000;

/// A handle of the only bucket.
#[derive(Debug, Default)]
#[expect(unreachable_pub, reason = "generated bindings re-export it")]
pub struct Bucket {
    /// Snapshot of the keys at the start of the last listing.
    listed: Vec<String>,
}

type HostResult<T> = wasmtime::Result<Result<T, Error>>;

impl Host for CallState {
    async fn open(&mut self, identifier: String) -> HostResult<Resource<Bucket>> {
        if !matches!(identifier.as_str(), "" | "default") {
            return Ok(Err(Error::NoSuchStore));
        }
        if self.context.storage.is_none() {
            return Ok(Err(Error::AccessDenied));
        }
        Ok(Ok(self.table.push(Bucket::default())?))
    }
}

impl HostBucket for CallState {
    async fn get(&mut self, _: Resource<Bucket>, key: String) -> HostResult<Option<Vec<u8>>> {
        let value = self.value(key).await;
        self.received_bytes += value.as_ref().map_or(0, |value| value.as_ref().map_or(0, Vec::len));
        Ok(value)
    }

    async fn set(&mut self, _: Resource<Bucket>, key: String, value: Vec<u8>) -> HostResult<()> {
        if value.len() > MAX_VALUE_BYTES {
            return Ok(Err(Error::Other(format!("a value has at most {MAX_VALUE_BYTES} bytes, not {}", value.len()))));
        }
        Ok(self.stage(key, Some(value)))
    }

    async fn delete(&mut self, _: Resource<Bucket>, key: String) -> HostResult<()> {
        Ok(self.stage(key, None))
    }

    async fn exists(&mut self, _: Resource<Bucket>, key: String) -> HostResult<bool> {
        Ok(self.value(key).await.map(|value| value.is_some()))
    }

    async fn list_keys(&mut self, bucket: Resource<Bucket>, cursor: Option<u64>) -> HostResult<KeyResponse> {
        if cursor.is_none() {
            let keys = match self.all_keys().await {
                Ok(keys) => keys,
                Err(error) => return Ok(Err(error)),
            };
            let bucket = self.table.get_mut(&bucket)?;
            let listed = self.listed_keys.saturating_sub(bucket.listed.len()).saturating_add(keys.len());
            if listed > MAX_LISTED_KEYS {
                return Ok(Err(Error::Other(format!("a call holds at most {MAX_LISTED_KEYS} keys listed at once"))));
            }
            self.listed_keys = listed;
            bucket.listed = keys;
        }
        // All pages of a listing come from one snapshot, regardless of later writes.
        let listed = &self.table.get(&bucket)?.listed;
        let start = usize::try_from(cursor.unwrap_or(0)).unwrap_or(usize::MAX);
        let more = listed.len() > start.saturating_add(KEYS_PER_PAGE);
        let cursor = more.then(|| (start + KEYS_PER_PAGE) as u64);
        Ok(Ok(KeyResponse { keys: listed.iter().skip(start).take(KEYS_PER_PAGE).cloned().collect(), cursor }))
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        let bucket = self.table.delete(bucket)?;
        self.listed_keys = self.listed_keys.saturating_sub(bucket.listed.len());
        Ok(())
    }
}

impl CallState {
    fn storage(&self) -> Result<std::sync::Arc<dyn Storage>, Error> {
        self.context.storage.clone().ok_or(Error::AccessDenied)
    }

    async fn value(&mut self, key: String) -> Result<Option<Vec<u8>>, Error> {
        if let Some(staged) = self.staged.get(&key) {
            return Ok(staged.clone());
        }
        self.storage()?.get(key).await.map_err(Error::Other)
    }

    async fn all_keys(&mut self) -> Result<Vec<String>, Error> {
        let storage = self.storage()?;
        let mut keys: BTreeSet<String> = storage.keys().await.map_err(Error::Other)?.into_iter().collect();
        for (key, value) in &self.staged {
            if value.is_some() {
                keys.insert(key.clone())
            } else {
                keys.remove(key)
            };
        }
        Ok(keys.into_iter().collect())
    }

    fn stage(&mut self, key: String, value: Option<Vec<u8>>) -> Result<(), Error> {
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(Error::Other(format!("a key has 1 to {MAX_KEY_BYTES} bytes, not {}", key.len())));
        }
        self.storage()?;
        let size = |key: &str, value: Option<&Vec<u8>>| key.len() + value.map_or(0, Vec::len);
        let new = size(&key, value.as_ref());
        self.sent_bytes += new;
        if self.staged.len() == MAX_STAGED_KEYS && !self.staged.contains_key(&key) {
            return Err(Error::Other(format!("a call writes at most {MAX_STAGED_KEYS} keys")));
        }
        let before = self.staged.get(&key).map_or(0, |old| size(&key, old.as_ref()));
        let bytes = self.staged_bytes.saturating_sub(before).saturating_add(new);
        if bytes > MAX_STAGED_BYTES {
            return Err(Error::Other(format!("a call writes at most {MAX_STAGED_BYTES} bytes")));
        }
        self.staged_bytes = bytes;
        self.staged.insert(key, value);
        Ok(())
    }
}
