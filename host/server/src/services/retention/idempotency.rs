//! Removal of idempotency keys, and of the responses stored with them.

use moxxy_store::{self as store, Store};
use moxxy_types::error::Result;

/// Maximum size of all stored responses, in bytes.
pub(super) const MAX_STORED_BYTES: i64 = 256 * 1024 * 1024;
/// Number of rows that one transaction changes.
const ROWS_PER_TRANSACTION: i64 = 500;

/// Removes keys after their time, and the oldest responses beyond their maximum size. Returns the number of keys.
pub(super) async fn prune(store: &Store) -> Result<i64> {
    let mut removed = 0;
    loop {
        let count = store.write(|tx| Box::pin(store::idempotency::prune(tx, ROWS_PER_TRANSACTION))).await?;
        removed += count;
        if count < ROWS_PER_TRANSACTION {
            break;
        }
    }
    let mut surplus = store::idempotency::stored_bytes(&mut *store.read().await?).await? - MAX_STORED_BYTES;
    while surplus > 0 {
        surplus -= store.write(|tx| Box::pin(store::idempotency::forget_responses(tx, ROWS_PER_TRANSACTION))).await?;
    }
    Ok(removed)
}
