//! Bounds on JSON from outside.

use serde_json::Value;

/// How deeply a value from outside may nest. What is parsed once is stored inside other values and
/// parsed again, and the parser gives up at 128.
pub const DEPTH: usize = 64;

/// Whether a value nests no deeper than [`DEPTH`].
pub fn is_shallow(value: &Value) -> bool {
    within(value, DEPTH)
}

fn within(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(|item| within(item, depth - 1)),
        Value::Object(fields) => depth > 0 && fields.values().all(|field| within(field, depth - 1)),
        _ => true,
    }
}
