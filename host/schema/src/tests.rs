//! Results of evaluations, compared with a library that implements the whole standard, and their cost in steps.

use serde_json::{Map, Value, json};

use super::{
    Mismatch, Patterns, Schema,
    budget::{Budget, BudgetResult, Exhausted},
    check, describe_mismatches,
    evaluation::Evaluation,
};

fn mismatches(schema: &Value, value: &Value) -> String {
    describe_mismatches(&Schema::new(schema, &mut Patterns::default()).mismatches(value))
}

/// Returns the mismatches and the number of steps of an evaluation.
fn evaluate_counting_steps(schema: &Value, value: &Value) -> (BudgetResult<Vec<Mismatch>>, usize) {
    let schema = Schema::new(schema, &mut Patterns::default());
    let mut evaluation = Evaluation::new(&schema, Budget::new());
    let before = evaluation.budget.remaining_steps();
    let found = evaluation.evaluate_root(value);
    (found, before - evaluation.budget.remaining_steps())
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
        json!([1, 1.0]),
        json!([{ "a": [1], "b": 2 }, { "b": 2.0, "a": [1] }, "a"]),
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
        json!({ "pattern": "^\\S{2,3}$" }),
        json!({ "pattern": "\\bab?\\b" }),
        json!({ "pattern": "^.$" }),
        json!({ "pattern": "^$|[^a-z]" }),
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

/// Compares the results with a library that implements the whole standard.
#[test]
fn it_agrees_with_the_standard() {
    let values = values();
    for schema in schemas_of_one().iter().chain(&schemas_of_many()) {
        assert_eq!(check(schema), Ok(()), "{schema}");
        let standard = jsonschema::validator_for(schema).unwrap();
        for value in &values {
            let described = mismatches(schema, value);
            assert_eq!(described.is_empty(), standard.is_valid(value), "{schema} {value}: {described}");
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
        assert_eq!(mismatches(&schema, &value), expected);
    }
    let many: Value = (0..100).map(|_| json!({ "x": "y".repeat(1000) })).collect();
    assert!(mismatches(&schema, &json!({ "points": many })).len() < 500);
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
        // An invalid schema that was accepted before this check existed does no harm.
        mismatches(&schema, &json!({ "a": [1, "b"] }));
    }
    assert_eq!(check(&json!({ "properties": { "$ref": { "type": "string" } }, "x-mine": 5 })), Ok(()));
}

/// Returns a schema that applies `leaf` to the same value 2¹⁶ times.
fn applied_repeatedly(leaf: Value) -> Value {
    let twice = |level: usize| json!([{ "$ref": format!("#/$defs/{level}") }, { "$ref": format!("#/$defs/{level}") }]);
    let mut definitions: Map<_, _> =
        (0..15).map(|level| (level.to_string(), json!({ "allOf": twice(level + 1) }))).collect();
    definitions.insert("15".into(), leaf);
    json!({ "allOf": twice(0), "$defs": definitions })
}

/// Returns a pseudorandom text of `a` and `b`.
fn random_letters(length: usize) -> String {
    let step = |seed: &u32| Some(seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let seeds = std::iter::successors(Some(1_u32), step);
    seeds.take(length).map(|seed| if seed >> 31 == 0 { 'a' } else { 'b' }).collect()
}

#[test]
fn no_schema_takes_for_ever() {
    let zeros = |count| Value::from(vec![0; count]);
    let fields: Map<_, _> = (0..20_000).map(|number| (format!("{number:x}"), json!(1))).collect();
    let deep = (0..60).fold(json!(1), |inner, _| json!({ "a": inner }));
    let fan = json!({ "properties": { "a": { "$ref": "#" } }, "allOf": [{ "properties": { "a": { "$ref": "#" } } }] });
    let long = "a".repeat(50_000);
    let names: Map<_, _> = (0..100).map(|number| (format!("{}{number}", random_letters(4000)), json!(1))).collect();
    let cases = [
        (applied_repeatedly(json!({ "minLength": 1, "pattern": "(a+)+$" })), json!("a".repeat(1 << 20) + "!")),
        (json!({ "$ref": "#" }), json!(1)),
        (fan, deep),
        (json!({ "pattern": "^[ab]*a[ab]{3000}[^ab]" }), json!(random_letters(1 << 20))),
        (json!({ "propertyNames": { "pattern": "^[ab]*a[ab]{1000}[^ab]" } }), names.clone().into()),
        (json!({ "patternProperties": { "^[ab]*a[ab]{1000}[^ab]": {} } }), names.into()),
        (json!({ "uniqueItems": true, "items": { "enum": (0..5000).collect::<Vec<_>>() } }), zeros(200_000)),
        (applied_repeatedly(json!({ "uniqueItems": true })), json!([zeros(20_000)])),
        (applied_repeatedly(json!({ "prefixItems": [true], "contains": true })), zeros(20_000)),
        (applied_repeatedly(json!({ "properties": { "z": {} } })), fields.clone().into()),
        (applied_repeatedly(json!({ "additionalProperties": true })), fields.into()),
        (applied_repeatedly(json!({ "required": [long] })), json!({ (long.clone()): 1 })),
        (applied_repeatedly(json!({ "const": { (long.clone()): 1 } })), json!({ (long.clone()): 1 })),
        (applied_repeatedly(json!({ "const": long })), json!(long)),
        (applied_repeatedly(json!({ "enum": vec![zeros(1000); 20] })), zeros(1001)),
        (applied_repeatedly(json!({ "maxLength": 1e9 })), json!(long)),
        (json!({ "items": { "anyOf": vec![json!({ "const": long }); 50] } }), zeros(20_000)),
        (json!({ "items": { "oneOf": vec![json!({ "type": "null" }); 5000] } }), zeros(20_000)),
        (
            json!({ "patternProperties": vec!["(?=x)"; 1].into_iter().map(|p| (p.to_owned(), json!({}))).collect::<Map<_, _>>(), "additionalProperties": { "enum": zeros(1000) } }),
            json!({ "a": 1 }),
        ),
    ];
    let last = cases.len() - 1;
    for (index, (schema, value)) in cases.iter().enumerate() {
        let since = std::time::Instant::now();
        let (found, steps) = evaluate_counting_steps(schema, value);
        println!("{:>10.1?} for {steps:>6} steps: {:.70}", since.elapsed(), schema.to_string());
        // Only the last case fits the budget.
        let expected = if index == last { Ok(Vec::new()) } else { Err(Exhausted) };
        assert_eq!(found, expected, "{steps} {:.200}", schema.to_string());
    }
}

#[test]
fn what_is_long_in_a_schema_costs_nothing_when_it_is_used() {
    let refers = |name: &str, reference: &str| json!({ "items": { "$ref": format!("#/$defs/{reference}") }, "$defs": { (name): { "type": "integer" } } });
    let items: Value = (0..30_000).collect();
    let (short, steps) = evaluate_counting_steps(&refers("a", "a"), &items);
    let long = evaluate_counting_steps(&refers(&"a".repeat(9000), &"%61".repeat(9000)), &items);
    assert_eq!((short, steps), long);
    assert_eq!(long.0, Ok(Vec::new()));
    // Nor do long reasons, most of which are not reported.
    let wrong = |constant: &str| evaluate_counting_steps(&json!({ "items": { "const": constant } }), &items);
    let (short, long) = (wrong("b"), wrong(&"b\n".repeat(9000)));
    assert_eq!(short.1, long.1);
    assert!(long.0.is_ok_and(|found| found.len() == 32 && found.iter().all(|one| one.reason.len() < 150)));
    // A reference cycle is undecided, and a long chain of references is bounded.
    let chain: Map<_, _> =
        (0..2000).map(|n| (n.to_string(), json!({ "$ref": format!("#/$defs/{}", n + 1) }))).collect();
    assert_eq!(evaluate_counting_steps(&json!({ "$ref": "#/$defs/0", "$defs": chain }), &json!(1)).0, Err(Exhausted));
    let cycle = json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } } });
    assert_eq!(evaluate_counting_steps(&cycle, &json!(1)).0, Err(Exhausted));
}

/// Ordinary patterns cost little more than the text, so long lists and texts are evaluated completely.
#[test]
fn ordinary_values_are_decided() {
    let list = |item: &str, bad: &str| (0..1000).map(|_| item).chain([bad]).collect::<Value>();
    let cases = [
        (json!({ "items": { "pattern": "^\\d{4}-\\d{2}-\\d{2}$" } }), list("2026-11-30", "2026-1-30")),
        (
            json!({ "items": { "pattern": "^[\\w.+-]+@[\\w-]+\\.[\\w.-]+$" } }),
            list("grüße+ada@mail.example.org", "ada@example"),
        ),
        (json!({ "pattern": "^[A-Za-z0-9+/]*={0,2}$" }), json!("QUJD".repeat(1 << 18) + "!")),
        (json!({ "pattern": "^(([a-z])+.)+[A-Z]([a-z])+$" }), json!("a".repeat(1 << 20) + "!")),
        (
            json!({ "items": { "type": "integer", "minimum": 0 } }),
            (0..50_000).map(Value::from).chain([json!(-1)]).collect(),
        ),
    ];
    for (schema, value) in cases {
        let (found, steps) = evaluate_counting_steps(&schema, &value);
        assert!(found.as_ref().is_ok_and(|found| found.len() == 1), "{schema}: {found:?} after {steps}");
    }
}

#[test]
fn patterns_are_bounded() {
    let mut patterns = Patterns::default();
    let large = ["(((a{1,100}){1,100}){1,100}){1,100}", "\\w{200}", &"(".repeat(500), &"(a".repeat(100)];
    assert!(large.iter().all(|pattern| patterns.get(pattern).is_none()));
    // Invalid patterns count, too.
    assert_eq!((0..100).filter(|number| patterns.get(&format!("^{number}$")).is_some()).count(), 60);
    let (mut patterns, long) = (Patterns::default(), "a".repeat(5000));
    let known = |patterns: &mut Patterns, first: char| patterns.get(&format!("{first}{long}")).is_some();
    assert!(['a', 'b', 'c'].into_iter().all(|first| known(&mut patterns, first)));
    assert!(!known(&mut patterns, 'd'));
    assert!(known(&mut patterns, 'a'));
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
        assert_eq!(mismatches(&schema, &value), "", "{schema} {value}");
    }
    // A value that fits under no decision is still a mismatch.
    for (schema, value) in [
        (json!({ "oneOf": [{ "pattern": "(?=x)", "type": "string" }, { "const": 2 }] }), json!(1)),
        (json!({ "oneOf": [{ "$ref": "#A" }, true, true] }), json!(1)),
        (json!({ "anyOf": [{ "$ref": "#A", "type": "null" }, false] }), json!(1)),
    ] {
        assert_ne!(mismatches(&schema, &value), "", "{schema} {value}");
    }
}
