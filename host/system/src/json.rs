//! Limits on JSON from outside.

use serde_json::Value;

/// Maximum nesting depth of a value from outside. A parsed value is stored inside other values and parsed again,
/// and the parser fails at a depth of 128.
pub const MAX_DEPTH: usize = 64;

/// Returns whether a value nests no deeper than [`MAX_DEPTH`].
pub fn is_shallow(value: &Value) -> bool {
    is_within_depth(value, MAX_DEPTH)
}

/// Maximum number of values in a text from outside. Each takes much more memory once it is parsed.
pub const MAX_VALUES: usize = 1_000_000;

/// Returns the nesting depth of a JSON text and an upper bound on its number of values. The text is not parsed,
/// so the result is also defined for text that is not JSON.
pub fn shape(text: &[u8]) -> (usize, usize) {
    let (mut depth, mut deepest, mut values) = (0_usize, 0, 1);
    let (mut quoted, mut escaped) = (false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
                values += 1;
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
    }
    (deepest, values)
}

fn is_within_depth(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(|item| is_within_depth(item, depth - 1)),
        Value::Object(fields) => depth > 0 && fields.values().all(|field| is_within_depth(field, depth - 1)),
        _ => true,
    }
}
