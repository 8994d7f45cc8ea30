//! Fields that a service attaches to messages and tool calls and wants back, as the host keeps them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Fields that go back as they came, such as signatures of thoughts.
const FIELDS: [&str; 3] = ["extra_content", "provider_specific_fields", "thought_signature"];

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// The service that they are of; no other one gets them.
    service: String,
    openai: Map<String, Value>,
}

/// Collects the fields of an object.
pub(crate) fn collect(object: &Map<String, Value>, kept: &mut Map<String, Value>) {
    for (name, value) in object {
        if FIELDS.contains(&name.as_str()) && !value.is_null() {
            kept.insert(name.clone(), value.clone());
        }
    }
}

/// Returns fields as the host keeps them, or `None` if there are none.
pub(crate) fn to_opaque(service: &str, fields: &Map<String, Value>) -> Option<Vec<u8>> {
    let kept = Kept { service: service.to_owned(), openai: fields.clone() };
    (!fields.is_empty()).then(|| serde_json::to_vec(&kept).unwrap_or_default())
}

/// Returns the fields that the host kept. Those of other services are left out.
pub(crate) fn from_opaque(service: &str, opaque: &[u8]) -> Map<String, Value> {
    match serde_json::from_slice(opaque) {
        Ok(Kept { service: of, openai }) if of == service => openai,
        _ => Map::new(),
    }
}
