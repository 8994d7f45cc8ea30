//! The schemas that services hold an answer to.

use serde_json::{Map, Value};

/// Whether `accepts` accepts the keywords of a JSON Schema and of every schema within it. Services that hold answers to
/// a schema refuse some of them; such a schema is better not sent, since the host tells the model about it and
/// validates the answer.
pub fn all_schemas(schema: &Value, accepts: &impl Fn(&Map<String, Value>) -> bool) -> bool {
    let Value::Object(keywords) = schema else { return true };
    accepts(keywords)
        && keywords.iter().all(|(keyword, value)| match (keyword.as_str(), value) {
            // The names in it are no keywords.
            ("properties" | "$defs" | "definitions" | "patternProperties", Value::Object(schemas)) => {
                schemas.values().all(|schema| all_schemas(schema, accepts))
            }
            ("enum" | "const" | "default" | "examples", _) => true,
            (_, Value::Array(schemas)) => schemas.iter().all(|schema| all_schemas(schema, accepts)),
            (_, schema) => all_schemas(schema, accepts),
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_schema_is_looked_at_and_nothing_else() {
        let schema = json!({
            "properties": { "deny": { "items": { "anyOf": [true, { "type": "string" }] } } },
            "$defs": { "deny": { "enum": [{ "deny": 1 }], "default": { "deny": 1 } } },
        });
        let accepts = |keyword: &'static str| move |keywords: &Map<String, Value>| !keywords.contains_key(keyword);
        assert!(all_schemas(&schema, &accepts("deny")));
        for keyword in ["properties", "items", "anyOf", "type", "$defs", "enum"] {
            assert!(!all_schemas(&schema, &accepts(keyword)), "{keyword}");
        }
    }
}
