//! Validation of schemas for their authors.

use serde_json::{Map, Value};

use super::compile::target;

/// Form of a keyword's value.
#[derive(Clone, Copy)]
enum Form {
    Schema,
    Schemas,
    /// A schema or a list of schemas.
    SchemaOrSchemas,
    Named,
    Text,
    Texts,
    Type,
    Values,
    Count,
    Number,
}

pub const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "string", "number", "integer"];
const KEYWORDS: [(&str, Form); 43] = [
    ("$defs", Form::Named),
    ("$ref", Form::Text),
    ("additionalItems", Form::Schema),
    ("additionalProperties", Form::Schema),
    ("allOf", Form::Schemas),
    ("anyOf", Form::Schemas),
    ("contains", Form::Schema),
    ("definitions", Form::Named),
    ("dependentSchemas", Form::Named),
    ("description", Form::Text),
    ("else", Form::Schema),
    ("enum", Form::Values),
    ("format", Form::Text),
    ("if", Form::Schema),
    ("items", Form::SchemaOrSchemas),
    ("maxContains", Form::Count),
    ("maxItems", Form::Count),
    ("maxLength", Form::Count),
    ("maxProperties", Form::Count),
    ("maximum", Form::Number),
    ("minContains", Form::Count),
    ("minItems", Form::Count),
    ("minLength", Form::Count),
    ("minProperties", Form::Count),
    ("minimum", Form::Number),
    ("multipleOf", Form::Number),
    ("not", Form::Schema),
    ("oneOf", Form::Schemas),
    ("pattern", Form::Text),
    ("patternProperties", Form::Named),
    ("prefixItems", Form::Schemas),
    ("properties", Form::Named),
    ("propertyNames", Form::Schema),
    ("required", Form::Texts),
    ("then", Form::Schema),
    ("title", Form::Text),
    ("type", Form::Type),
    ("unevaluatedItems", Form::Schema),
    ("unevaluatedProperties", Form::Schema),
    ("$anchor", Form::Text),
    ("$comment", Form::Text),
    ("$id", Form::Text),
    ("$schema", Form::Text),
];

/// Validates a schema. The error tells the author what is wrong and where.
pub fn check(root: &Value) -> Result<(), String> {
    schema(root, root, "#")
}

fn schema(root: &Value, schema: &Value, at: &str) -> Result<(), String> {
    let fields = match schema {
        Value::Object(fields) => fields,
        Value::Bool(_) => return Ok(()),
        _ => return Err(format!("`{at}` is no schema: it is neither an object nor true or false")),
    };
    for (keyword, value) in fields {
        if let Some((_, form)) = KEYWORDS.iter().find(|(known, _)| known == keyword) {
            keyword_of(root, value, *form, &format!("{at}/{keyword}"))?;
        }
    }
    match fields.get("$ref").and_then(Value::as_str) {
        Some(name) => reference(root, name, at),
        None => Ok(()),
    }
}

fn keyword_of(root: &Value, value: &Value, form: Form, at: &str) -> Result<(), String> {
    let texts = |items: &[Value]| items.iter().all(Value::is_string);
    let is_type = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    let (right, wanted) = match (form, value) {
        (Form::Schema, value) => return schema(root, value, at),
        (Form::Schemas | Form::SchemaOrSchemas, Value::Array(items)) => return all(root, items, at),
        (Form::SchemaOrSchemas, value) => return schema(root, value, at),
        (Form::Named, Value::Object(named)) => return each(root, named, at),
        (Form::Schemas, _) => (false, "a list of schemas"),
        (Form::Named, _) => (false, "an object of schemas"),
        (Form::Text, value) => (value.is_string(), "a text"),
        (Form::Texts, value) => (value.as_array().is_some_and(|items| texts(items)), "a list of texts"),
        (Form::Type, Value::Array(items)) => (items.iter().all(is_type), "the name of a type, or a list of them"),
        (Form::Type, value) => (is_type(value), "the name of a type, or a list of them"),
        (Form::Values, value) => (value.is_array(), "a list"),
        (Form::Count, value) => (value.as_f64().is_some_and(|count| count >= 0.0), "a number of at least 0"),
        (Form::Number, value) => (value.is_number(), "a number"),
    };
    if right { Ok(()) } else { Err(format!("`{at}` is not {wanted}")) }
}

fn all(root: &Value, items: &[Value], at: &str) -> Result<(), String> {
    items.iter().enumerate().try_for_each(|(index, item)| schema(root, item, &format!("{at}/{index}")))
}

fn each(root: &Value, named: &Map<String, Value>, at: &str) -> Result<(), String> {
    named.iter().try_for_each(|(name, item)| schema(root, item, &format!("{at}/{}", short(name))))
}

/// Validates a reference. Only references within the schema are resolved.
fn reference(root: &Value, name: &str, at: &str) -> Result<(), String> {
    let shown = short(name);
    match name.strip_prefix('#') {
        None => Err(format!("`{at}/$ref` refers to `{shown}`, which is not in it, and nothing is fetched")),
        // Anchors are not resolved.
        Some(pointer) if !pointer.is_empty() && !pointer.starts_with('/') => Ok(()),
        Some(_) if target(root, name).is_some() => Ok(()),
        Some(_) => Err(format!("`{at}/$ref` refers to `{shown}`, which is not there")),
    }
}

fn short(name: &str) -> String {
    name.chars().take(80).collect()
}
