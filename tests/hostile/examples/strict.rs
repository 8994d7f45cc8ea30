//! A skill whose tools say exactly what they take, and count on it: none of them looks at it again. Some
//! of what they say would take for ever to hold anything against.

use moxxy_sdk::skill::{Error, Manifest, Output, Skill, Tool};
use serde_json::{Map, Value, json};

struct Strict;

impl Skill for Strict {
    fn manifest() -> Manifest {
        hostile::manifest("strict")
    }

    fn tools() -> Vec<Tool> {
        let order = json!({
            "type": "object",
            "properties": {
                "items": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/item" } },
                "note": { "type": ["string", "null"], "maxLength": 10 },
                "speed": { "enum": ["slow", "fast"] },
            },
            "required": ["items"],
            "additionalProperties": false,
            "$defs": {
                "item": {
                    "type": "object",
                    "properties": {
                        "code": { "type": "string", "pattern": "^[A-Z]{2}[0-9]+$" },
                        "count": { "type": "integer", "minimum": 1, "maximum": 99 },
                    },
                    "required": ["code", "count"],
                },
            },
        });
        let patterns = json!({
            "type": "object",
            "properties": {
                "slow": { "pattern": "^(([a-z])+.)+[A-Z]([a-z])+$" },
                "huge": { "pattern": "((((a{1,100}){1,100}){1,100}){1,100}){1,100}" },
                "behind": { "pattern": "(?<=a)b" },
            },
        });
        let tool = |name: &str, parameters| Tool::new(name, "Takes what it says.", parameters);
        vec![
            tool("order", order),
            tool("patterns", patterns),
            tool("doubles", doubles()),
            tool("forever", json!({ "type": "object", "allOf": [{ "$ref": "#" }] })),
        ]
    }

    fn call(tool: &str, arguments: Value) -> Result<Output, Error> {
        Ok(Output::text(format!("{tool} was called with {arguments}")))
    }
}

/// A schema that asks the same of its arguments 2⁴⁰ times.
fn doubles() -> Value {
    let twice = |number: u32| json!({ "allOf": [{ "$ref": format!("#/$defs/{number}") }, { "$ref": format!("#/$defs/{number}") }] });
    let mut definitions: Map<String, Value> = (0..40).map(|number| (number.to_string(), twice(number + 1))).collect();
    definitions.insert("40".to_owned(), json!(true));
    json!({ "type": "object", "allOf": [{ "$ref": "#/$defs/0" }], "$defs": definitions })
}

moxxy_sdk::export_skill!(Strict);
