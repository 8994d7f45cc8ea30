//! What schemas say, held against a library that knows the whole standard, and within which time.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Patterns, check, told, wrong};

fn look(schema: &Value, value: &Value) -> String {
    told(&wrong(schema, &Patterns::of([schema]), value))
}

fn values() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(1.0),
        json!(1.5),
        json!(-3),
        json!(12),
        json!(u64::MAX),
        json!(""),
        json!("a"),
        json!("ab"),
        json!("abc 1"),
        json!("ä世😀"),
        json!([]),
        json!([1]),
        json!([1, 1]),
        json!([1, "a"]),
        json!([1, "a", null]),
        json!({}),
        json!({ "a": 1 }),
        json!({ "a": "x", "b": 2 }),
        json!({ "a": { "a": { "a": 5 } } }),
        json!({ "x-1": 1 }),
        json!({ "a": [1, 2.5] }),
    ]
}

fn schemas_of_one() -> Vec<Value> {
    vec![
        json!({ "type": "integer" }),
        json!({ "type": ["string", "null"] }),
        json!({ "type": "number", "minimum": 1 }),
        json!({ "maximum": 1.5 }),
        json!({ "exclusiveMinimum": 0, "exclusiveMaximum": 12 }),
        json!({ "multipleOf": 0.5 }),
        json!({ "multipleOf": 3 }),
        json!({ "const": 1 }),
        json!({ "const": { "a": 1.0 } }),
        json!({ "enum": ["a", 1, [1]] }),
        json!({ "minLength": 2, "maxLength": 3 }),
        json!({ "pattern": "^a" }),
        json!({ "pattern": "[0-9]" }),
        json!({ "minItems": 1, "maxItems": 2 }),
        json!({ "uniqueItems": true }),
        json!({ "items": { "type": "integer" } }),
        json!({ "prefixItems": [{ "type": "integer" }, { "type": "string" }], "items": false }),
        json!({ "contains": { "type": "string" } }),
        json!({ "contains": { "const": 1 }, "minContains": 2 }),
        json!({ "contains": { "const": 1 }, "minContains": 0, "maxContains": 1 }),
    ]
}

fn schemas_of_many() -> Vec<Value> {
    vec![
        json!({ "required": ["a"] }),
        json!({ "properties": { "a": { "type": "integer" } } }),
        json!({ "properties": { "a": true }, "additionalProperties": false }),
        json!({ "patternProperties": { "^x-": { "type": "string" } }, "additionalProperties": { "type": "string" } }),
        json!({ "propertyNames": { "maxLength": 1 } }),
        json!({ "minProperties": 1, "maxProperties": 1 }),
        json!({ "dependentRequired": { "a": ["b"] } }),
        json!({ "not": { "type": "string" } }),
        json!({ "not": {} }),
        json!({ "allOf": [{ "type": "integer" }, { "minimum": 1 }] }),
        json!({ "anyOf": [{ "type": "string" }, { "properties": { "a": { "type": "integer" } }, "type": "object" }] }),
        json!({ "oneOf": [{ "type": "integer" }, { "minimum": 1 }] }),
        json!({ "if": { "type": "integer" }, "then": { "minimum": 1 }, "else": { "type": "string" } }),
        json!({ "$defs": { "t": { "properties": { "a": { "$ref": "#/$defs/t" } }, "type": "object" } }, "$ref": "#/$defs/t" }),
        json!({ "properties": { "a": { "$ref": "#" } }, "required": ["a"] }),
        json!(true),
        json!(false),
    ]
}

/// What both this and a library that knows the whole standard say.
#[test]
fn it_agrees_with_the_standard() {
    let values = values();
    for schema in schemas_of_one().iter().chain(&schemas_of_many()) {
        assert_eq!(check(schema), Ok(()), "{schema}");
        let standard = jsonschema::validator_for(schema).unwrap();
        for value in &values {
            let told = look(schema, value);
            assert_eq!(told.is_empty(), standard.is_valid(value), "{schema} {value}: {told}");
        }
    }
}

#[test]
fn it_says_where_what_is_wrong() {
    let point = json!({ "type": "object", "properties": { "x": { "type": "number" } }, "required": ["x"] });
    let schema = json!({
        "type": "object",
        "properties": {
            "points": { "type": "array", "items": point },
            "area": { "anyOf": [{ "type": "null" }, point] },
            "speed": { "enum": ["slow", "fast"] },
        },
        "additionalProperties": false,
    });
    let cases = [
        (json!({ "points": [{ "x": 1 }, { "x": "1" }] }), "`points[1].x`: it is a string, but has to be a number"),
        (json!({ "points": [{}] }), "`points[0].x`: it is missing"),
        (json!({ "area": { "x": null } }), "`area.x`: it is null, but has to be a number"),
        (json!({ "area": 1 }), "`area`: it fits none of the 2 alternatives"),
        (json!({ "speed": 5 }), "`speed`: it has to be one of \"slow\", \"fast\""),
        (json!({ "sped": 5 }), "`sped`: it is not known; known are: `area`, `points`, `speed`"),
        (json!([]), "it is an array, but has to be an object"),
    ];
    for (value, expected) in cases {
        assert_eq!(look(&schema, &value), expected);
    }
    let many: Value = (0..100).map(|_| json!({ "x": "y".repeat(1000) })).collect();
    assert!(look(&schema, &json!({ "points": many })).len() < 500);
}

#[test]
fn an_author_is_told_what_is_no_schema() {
    let cases = [
        (json!({ "type": "strin" }), "`#/type` is not the name of a type, or a list of them"),
        (
            json!({ "properties": { "a": 5 } }),
            "`#/properties/a` is no schema: it is neither an object nor true or false",
        ),
        (json!({ "properties": { "a": { "required": "b" } } }), "`#/properties/a/required` is not a list of texts"),
        (json!({ "allOf": {} }), "`#/allOf` is not a list of schemas"),
        (json!({ "items": { "minLength": -1 } }), "`#/items/minLength` is not a number of at least 0"),
        (json!({ "$ref": "#/$defs/a" }), "`#/$ref` refers to `#/$defs/a`, which is not there"),
        (
            json!({ "not": { "$ref": "file:///etc/passwd" } }),
            "`#/not/$ref` refers to `file:///etc/passwd`, which is not in it, and nothing is fetched",
        ),
    ];
    for (schema, expected) in cases {
        assert_eq!(check(&schema), Err(expected.to_owned()));
        // One that was taken before this was looked at harms nobody.
        look(&schema, &json!({ "a": [1, "b"] }));
    }
    assert_eq!(check(&json!({ "properties": { "$ref": { "type": "string" } }, "x-mine": 5 })), Ok(()));
}

#[test]
fn no_schema_takes_for_ever() {
    let twice = |n: u32| json!({ "allOf": [{ "$ref": format!("#/$defs/{n}") }, { "$ref": format!("#/$defs/{n}") }] });
    let mut doubles = json!({ "$ref": "#/$defs/0", "$defs": (0..40).map(|n| (n.to_string(), twice(n + 1))).collect::<serde_json::Map<_, _>>() });
    doubles["$defs"]["40"] = json!({ "minLength": 1, "pattern": "(a+)+$" });
    let text = json!("a".repeat(1 << 20) + "!");
    let deep = (0..60).fold(json!(1), |inner, _| json!({ "a": inner }));
    let fan = json!({ "properties": { "a": { "$ref": "#" } }, "allOf": [{ "properties": { "a": { "$ref": "#" } } }] });
    let cases = [
        (doubles, text.clone()),
        (json!({ "$ref": "#" }), json!(1)),
        (fan, deep),
        (json!({ "pattern": "^(([a-z])+.)+[A-Z]([a-z])+$" }), text.clone()),
        (json!({ "pattern": "(((a{1,100}){1,100}){1,100}){1,100}" }), text),
        (json!({ "uniqueItems": true, "items": { "enum": (0..5000).collect::<Vec<_>>() } }), (0..200_000).collect()),
    ];
    for (schema, value) in cases {
        let since = Instant::now();
        look(&schema, &value);
        // So much less than for ever that no machine is too slow for it.
        assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    }
}

#[test]
fn what_is_not_decided_is_held_against_nothing() {
    let cases = [
        (json!({ "not": { "pattern": "^(?!a)" } }), json!("abc")),
        (json!({ "oneOf": [{ "pattern": "^(?!ab)" }, { "const": "abc" }] }), json!("abc")),
        (
            json!({ "oneOf": [
                { "properties": { "a": {} }, "unevaluatedProperties": false },
                { "properties": { "b": {} }, "unevaluatedProperties": false },
            ] }),
            json!({ "a": 1 }),
        ),
        (json!({ "oneOf": [{ "$ref": "#A" }, { "$ref": "#B" }] }), json!(1)),
        (json!({ "if": { "pattern": "(?=x)" }, "then": false, "else": false }), json!("a")),
        (json!({ "contains": { "pattern": "(?=x)" }, "maxContains": 1 }), json!(["a", "b"])),
        (json!({ "contains": { "pattern": "(?=x)" }, "minContains": 0.0 }), json!([])),
        (
            json!({ "patternProperties": { "(?=x)": {} }, "additionalProperties": { "type": "null" } }),
            json!({ "x": 1 }),
        ),
        (json!({ "pattern": "^\\<[a-z]+\\>$" }), json!("<abc>")),
        (json!({ "pattern": "^[A-Z&&a]+$" }), json!("Z&a")),
    ];
    for (schema, value) in cases {
        assert_eq!(look(&schema, &value), "", "{schema} {value}");
    }
    // What does not fit whatever is decided is wrong still.
    for (schema, value) in [
        (json!({ "oneOf": [{ "pattern": "(?=x)", "type": "string" }, { "const": 2 }] }), json!(1)),
        (json!({ "oneOf": [{ "$ref": "#A" }, true, true] }), json!(1)),
        (json!({ "anyOf": [{ "$ref": "#A", "type": "null" }, false] }), json!(1)),
    ] {
        assert_ne!(look(&schema, &value), "", "{schema} {value}");
    }
}
