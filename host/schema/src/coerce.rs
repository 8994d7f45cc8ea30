//! Corrections of arguments that models write in another type than a schema wants, where the meaning is unambiguous.

use serde_json::{Map, Number, Value};

/// Maximum depth at which values are corrected.
const MAX_DEPTH: usize = 64;

/// Corrects a value: removes `null` of an optional property, writes `5.0` as an integer, and parses JSON in a text where
/// the schema wants no text. Leaves everything else to validation.
pub fn coerce(value: &mut Value, schema: &Value) {
    correct(value, schema, 0);
}

fn correct(value: &mut Value, schema: &Value, depth: usize) {
    let Some(rules) = schema.as_object().filter(|_| depth < MAX_DEPTH) else { return };
    let types = types(rules);
    let wants = |kind: &str| types.contains(&kind);
    match value {
        Value::Number(number) if wants("integer") && !wants("number") => {
            if let Some(whole) = whole(number) {
                *value = Value::Number(whole);
            }
        }
        Value::String(text) if !types.is_empty() && !wants("string") => {
            if let Some(parsed) = parse(text, &types) {
                *value = parsed;
                correct(value, schema, depth + 1);
            }
        }
        Value::Object(fields) => {
            let empty = Map::new();
            let properties = rules.get("properties").and_then(Value::as_object).unwrap_or(&empty);
            let required = rules.get("required").and_then(Value::as_array);
            let is_required = |name: &String| required.is_some_and(|names| names.iter().any(|known| known == name));
            fields.retain(|name, value| {
                let refuses_null = properties.get(name).is_some_and(|property| !accepts_null(property));
                !(value.is_null() && refuses_null && !is_required(name))
            });
            for (name, value) in fields {
                if let Some(property) = properties.get(name) {
                    correct(value, property, depth + 1);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = rules.get("items") {
                items.iter_mut().for_each(|item| correct(item, schema, depth + 1));
            }
        }
        _ => {}
    }
}

/// Returns the types that a schema names.
fn types(rules: &Map<String, Value>) -> Vec<&str> {
    match rules.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Whether a schema may accept `null`. One that is not understood may.
fn accepts_null(schema: &Value) -> bool {
    let Some(rules) = schema.as_object() else { return true };
    let types = types(rules);
    types.is_empty() || types.contains(&"null") || rules.get("nullable") == Some(&Value::Bool(true))
}

/// Returns a number without its fraction, if that is zero.
fn whole(number: &Number) -> Option<Number> {
    if number.is_i64() || number.is_u64() {
        return None;
    }
    let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0)?;
    // In range, so the conversion is exact.
    Some(Number::from(float as i64))
}

/// Parses a text that contains a value of one of the types.
fn parse(text: &str, types: &[&str]) -> Option<Value> {
    let parsed: Value = serde_json::from_str(text.trim()).ok()?;
    let kinds: &[&str] = match &parsed {
        Value::Object(_) => &["object"],
        Value::Array(_) => &["array"],
        Value::Bool(_) => &["boolean"],
        Value::Number(number) if number.is_i64() || number.is_u64() => &["integer", "number"],
        Value::Number(_) => &["number"],
        Value::Null | Value::String(_) => &[],
    };
    kinds.iter().any(|kind| types.contains(kind)).then_some(parsed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_has_one_meaning_is_corrected() {
        let schema = json!({
            "type": "object", "required": ["must"],
            "properties": {
                "must": { "type": "string" }, "n": { "type": "integer" }, "x": { "type": "number" },
                "o": { "type": "object", "properties": { "n": { "type": "integer" } } },
                "l": { "type": "array", "items": { "type": "integer" } },
                "b": { "type": "boolean" }, "s": { "type": "string" }, "u": { "type": ["string", "null"] }, "any": {},
            },
        });
        let cases = [
            (json!({ "n": 5.0, "x": 5.0 }), json!({ "n": 5, "x": 5.0 })),
            (
                json!({ "n": null, "u": null, "any": null, "must": null }),
                json!({ "u": null, "any": null, "must": null }),
            ),
            (json!({ "n": "5", "b": "true", "s": "5", "x": "1.5" }), json!({ "n": 5, "b": true, "s": "5", "x": 1.5 })),
            (json!({ "o": "{\"n\": 1.0}", "l": "[1, 2.0]" }), json!({ "o": { "n": 1 }, "l": [1, 2] })),
            (json!({ "n": "five", "b": "yes", "l": "1, 2" }), json!({ "n": "five", "b": "yes", "l": "1, 2" })),
            (json!({ "n": 5.5, "other": "1" }), json!({ "n": 5.5, "other": "1" })),
        ];
        for (mut value, expected) in cases {
            let before = value.clone();
            coerce(&mut value, &schema);
            assert_eq!(value, expected, "{before}");
        }
    }
}
