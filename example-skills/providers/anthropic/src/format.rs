//! The schemas that the service holds answers to: those that leave no field open, without bounds and recursion.

use moxxy_sdk::provider::all_schemas;
use serde_json::{Map, Value, json, value::RawValue};

const KEYWORDS: [&str; 15] = [
    "$defs",
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "default",
    "definitions",
    "description",
    "enum",
    "format",
    "items",
    "properties",
    "required",
    "title",
];

/// Whether the service accepts a schema, as far as its keywords tell.
pub(crate) fn is_accepted(schema: &RawValue) -> bool {
    serde_json::from_str(schema.get()).is_ok_and(|schema: Value| all_schemas(&schema, &are_accepted))
}

fn are_accepted(keywords: &Map<String, Value>) -> bool {
    let is_object = keywords.get("type") == Some(&json!("object")) || keywords.contains_key("properties");
    let is_closed = !is_object || keywords.get("additionalProperties") == Some(&json!(false));
    let is_recursive = keywords.get("$ref") == Some(&json!("#"));
    let known = |name: &String| name == "type" || KEYWORDS.contains(&name.as_str());
    is_closed && !is_recursive && keywords.keys().all(known)
}
