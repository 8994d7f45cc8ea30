//! Schemas as every service takes them.

use serde_json::{Map, Value, json};

/// Returns a tool's schema as LLM services take it: an object has `properties`, a `type` is one type, and bounds are
/// numbers. It accepts what the original accepts, `null` of an optional property aside.
pub fn normalize(mut schema: Value) -> Value {
    rewrite(&mut schema);
    schema
}

fn rewrite(schema: &mut Value) {
    match schema {
        Value::Object(rules) => {
            if rules.get("type").is_some_and(|kind| kind == "object") {
                rules.entry("properties").or_insert_with(|| json!({}));
            }
            single_type(rules);
            // Draft 4 has booleans, which make the inclusive bounds exclusive.
            for (exclusive, inclusive) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
                match rules.get(exclusive) {
                    Some(Value::Bool(true)) => {
                        rules.remove(exclusive);
                        if let Some(bound) = rules.remove(inclusive) {
                            rules.insert(exclusive.to_owned(), bound);
                        }
                    }
                    Some(Value::Bool(false)) => drop(rules.remove(exclusive)),
                    _ => {}
                }
            }
            for (name, inner) in rules {
                match (name.as_str(), inner) {
                    // The names in it are no keywords.
                    ("properties" | "$defs" | "definitions" | "patternProperties", Value::Object(schemas)) => {
                        schemas.values_mut().for_each(rewrite);
                    }
                    ("enum" | "const" | "default" | "examples", _) => {}
                    (_, inner) => rewrite(inner),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(rewrite),
        _ => {}
    }
}

/// Replaces a list of types by one type, or by alternatives.
fn single_type(rules: &mut Map<String, Value>) {
    let Some(Value::Array(types)) = rules.get("type") else { return };
    let mut types: Vec<Value> = types.iter().filter(|kind| *kind != "null").cloned().collect();
    match types.len() {
        0 => drop(rules.insert("type".to_owned(), json!("null"))),
        1 => drop(rules.insert("type".to_owned(), types.remove(0))),
        // The other rules are for values of one type each, so they stay beside the alternatives.
        _ if !rules.contains_key("anyOf") => {
            rules.remove("type");
            let any_of = types.into_iter().map(|kind| json!({ "type": kind })).collect();
            rules.insert("anyOf".to_owned(), Value::Array(any_of));
        }
        _ => drop(rules.remove("type")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_are_written_as_services_take_them() {
        let cases = [
            (json!({ "type": "object" }), json!({ "type": "object", "properties": {} })),
            (
                json!({ "type": "object", "properties": { "type": { "type": ["string", "null"] } } }),
                json!({ "type": "object", "properties": { "type": { "type": "string" } } }),
            ),
            (
                json!({ "type": ["string", "integer", "null"], "maxLength": 3 }),
                json!({ "anyOf": [{ "type": "string" }, { "type": "integer" }], "maxLength": 3 }),
            ),
            (
                json!({ "type": "integer", "minimum": 0, "exclusiveMinimum": true, "exclusiveMaximum": false }),
                json!({ "type": "integer", "exclusiveMinimum": 0 }),
            ),
            (json!({ "enum": [{ "type": ["a", "b"] }] }), json!({ "enum": [{ "type": ["a", "b"] }] })),
        ];
        for (schema, expected) in cases {
            assert_eq!(normalize(schema.clone()), expected, "{schema}");
        }
    }
}
