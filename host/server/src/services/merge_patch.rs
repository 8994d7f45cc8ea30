//! JSON merge patches (RFC 7396), where `null` and absent differ.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Applies a patch: `null` removes a field, an object changes the object in its place, anything else replaces it.
pub(super) fn apply(target: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (name, change) in patch {
        match (change, target.get_mut(&name)) {
            (Value::Null, _) => {
                target.remove(&name);
            }
            (Value::Object(change), Some(Value::Object(inner))) => apply(inner, change),
            (Value::Object(change), _) => {
                let mut inner = Map::new();
                apply(&mut inner, change);
                target.insert(name, Value::Object(inner));
            }
            (change, _) => {
                target.insert(name, change);
            }
        }
    }
}

/// Deserializes a field of type `Option<Option<T>>`: `Some(None)` for `null`; with `default`, `None` if it is absent.
pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
