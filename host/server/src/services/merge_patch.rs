//! Fields of a JSON merge patch (RFC 7396), where `null` and absent differ.

use serde::{Deserialize, Deserializer};

/// Deserializes a field of type `Option<Option<T>>`: `Some(None)` for `null`; with `default`, `None` if it is absent.
pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
