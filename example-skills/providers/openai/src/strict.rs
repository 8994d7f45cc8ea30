//! The schemas that the service keeps to the letter: those whose objects have all of their fields and no others.

use moxxy_sdk::provider::all_schemas;
use serde_json::{Map, Value, json};

const KEYWORDS: [&str; 20] = [
    "$defs",
    "$ref",
    "additionalProperties",
    "anyOf",
    "const",
    "definitions",
    "description",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "items",
    "maxItems",
    "maximum",
    "minItems",
    "minimum",
    "multipleOf",
    "pattern",
    "properties",
    "required",
    "title",
];
const FORMATS: [&str; 9] = ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"];

/// Whether the service keeps a schema to the letter.
pub(crate) fn is_accepted(schema: &Value) -> bool {
    all_schemas(schema, &are_accepted)
}

fn are_accepted(keywords: &Map<String, Value>) -> bool {
    let properties = keywords.get("properties").and_then(Value::as_object);
    let required = keywords.get("required").and_then(Value::as_array);
    let is_required = |name: &String| required.is_some_and(|names| names.iter().any(|required| required == name));
    let is_object = keywords.get("type") == Some(&json!("object")) || properties.is_some();
    let is_closed = keywords.get("additionalProperties") == Some(&json!(false));
    let is_complete = properties.into_iter().flat_map(Map::keys).all(is_required);
    let is_known = |(name, value): (&String, &Value)| match name.as_str() {
        "type" => true,
        "format" => value.as_str().is_some_and(|format| FORMATS.contains(&format)),
        name => KEYWORDS.contains(&name),
    };
    (!is_object || (is_closed && is_complete)) && keywords.iter().all(is_known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_that_leave_nothing_open_are_accepted() {
        let of = |properties: Value, required: Value| json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
        let optional = json!({ "type": ["string", "null"], "format": "date" });
        let inner = json!({ "a": { "anyOf": [{ "$ref": "#" }, { "type": "null" }] }, "b": optional });
        assert!(is_accepted(&of(inner.clone(), json!(["b", "a"]))));
        for open in [
            of(inner, json!(["a"])),
            of(json!({ "a": { "type": "object" } }), json!(["a"])),
            of(json!({ "a": { "format": "iban" } }), json!(["a"])),
            of(json!({ "a": { "minLength": 1 } }), json!(["a"])),
            json!({ "type": "object" }),
        ] {
            assert!(!is_accepted(&open), "{open}");
        }
    }
}
