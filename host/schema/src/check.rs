//! Validation of schemas for their authors.

use serde_json::{Map, Value};

use super::compile::resolve_reference;

/// Form of a keyword's value.
#[derive(Clone, Copy)]
enum KeywordForm {
    Schema,
    Schemas,
    /// A schema or a list of schemas.
    SchemaOrSchemas,
    NamedSchemas,
    String,
    StringList,
    Type,
    List,
    Count,
    Number,
}

pub(crate) const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "string", "number", "integer"];
const KEYWORDS: [(&str, KeywordForm); 43] = [
    ("$defs", KeywordForm::NamedSchemas),
    ("$ref", KeywordForm::String),
    ("additionalItems", KeywordForm::Schema),
    ("additionalProperties", KeywordForm::Schema),
    ("allOf", KeywordForm::Schemas),
    ("anyOf", KeywordForm::Schemas),
    ("contains", KeywordForm::Schema),
    ("definitions", KeywordForm::NamedSchemas),
    ("dependentSchemas", KeywordForm::NamedSchemas),
    ("description", KeywordForm::String),
    ("else", KeywordForm::Schema),
    ("enum", KeywordForm::List),
    ("format", KeywordForm::String),
    ("if", KeywordForm::Schema),
    ("items", KeywordForm::SchemaOrSchemas),
    ("maxContains", KeywordForm::Count),
    ("maxItems", KeywordForm::Count),
    ("maxLength", KeywordForm::Count),
    ("maxProperties", KeywordForm::Count),
    ("maximum", KeywordForm::Number),
    ("minContains", KeywordForm::Count),
    ("minItems", KeywordForm::Count),
    ("minLength", KeywordForm::Count),
    ("minProperties", KeywordForm::Count),
    ("minimum", KeywordForm::Number),
    ("multipleOf", KeywordForm::Number),
    ("not", KeywordForm::Schema),
    ("oneOf", KeywordForm::Schemas),
    ("pattern", KeywordForm::String),
    ("patternProperties", KeywordForm::NamedSchemas),
    ("prefixItems", KeywordForm::Schemas),
    ("properties", KeywordForm::NamedSchemas),
    ("propertyNames", KeywordForm::Schema),
    ("required", KeywordForm::StringList),
    ("then", KeywordForm::Schema),
    ("title", KeywordForm::String),
    ("type", KeywordForm::Type),
    ("unevaluatedItems", KeywordForm::Schema),
    ("unevaluatedProperties", KeywordForm::Schema),
    ("$anchor", KeywordForm::String),
    ("$comment", KeywordForm::String),
    ("$id", KeywordForm::String),
    ("$schema", KeywordForm::String),
];

/// Validates a schema. The error tells the author what is wrong and where.
pub fn check(root: &Value) -> Result<(), String> {
    check_schema(root, root, "#")
}

fn check_schema(root: &Value, schema: &Value, at: &str) -> Result<(), String> {
    let fields = match schema {
        Value::Object(fields) => fields,
        Value::Bool(_) => return Ok(()),
        _ => return Err(format!("`{at}` is no schema: it is neither an object nor true or false")),
    };
    for (keyword, value) in fields {
        if let Some((_, form)) = KEYWORDS.iter().find(|(known, _)| known == keyword) {
            check_keyword(root, value, *form, &format!("{at}/{keyword}"))?;
        }
    }
    match fields.get("$ref").and_then(Value::as_str) {
        Some(name) => check_reference(root, name, at),
        None => Ok(()),
    }
}

fn check_keyword(root: &Value, value: &Value, form: KeywordForm, at: &str) -> Result<(), String> {
    let texts = |items: &[Value]| items.iter().all(Value::is_string);
    let is_type = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    let (valid, expected) = match (form, value) {
        (KeywordForm::Schema, value) => return check_schema(root, value, at),
        (KeywordForm::Schemas | KeywordForm::SchemaOrSchemas, Value::Array(items)) => {
            return check_items(root, items, at);
        }
        (KeywordForm::SchemaOrSchemas, value) => return check_schema(root, value, at),
        (KeywordForm::NamedSchemas, Value::Object(named)) => return check_named(root, named, at),
        (KeywordForm::Schemas, _) => (false, "a list of schemas"),
        (KeywordForm::NamedSchemas, _) => (false, "an object of schemas"),
        (KeywordForm::String, value) => (value.is_string(), "a text"),
        (KeywordForm::StringList, value) => (value.as_array().is_some_and(|items| texts(items)), "a list of texts"),
        (KeywordForm::Type, Value::Array(items)) => {
            (items.iter().all(is_type), "the name of a type, or a list of them")
        }
        (KeywordForm::Type, value) => (is_type(value), "the name of a type, or a list of them"),
        (KeywordForm::List, value) => (value.is_array(), "a list"),
        (KeywordForm::Count, value) => (value.as_f64().is_some_and(|count| count >= 0.0), "a number of at least 0"),
        (KeywordForm::Number, value) => (value.is_number(), "a number"),
    };
    if valid { Ok(()) } else { Err(format!("`{at}` is not {expected}")) }
}

fn check_items(root: &Value, items: &[Value], at: &str) -> Result<(), String> {
    items.iter().enumerate().try_for_each(|(index, item)| check_schema(root, item, &format!("{at}/{index}")))
}

fn check_named(root: &Value, named: &Map<String, Value>, at: &str) -> Result<(), String> {
    named.iter().try_for_each(|(name, item)| check_schema(root, item, &format!("{at}/{}", truncate(name))))
}

/// Validates a reference. Only references within the schema are resolved.
fn check_reference(root: &Value, name: &str, at: &str) -> Result<(), String> {
    let short_name = truncate(name);
    match name.strip_prefix('#') {
        None => Err(format!("`{at}/$ref` refers to `{short_name}`, which is not in it, and nothing is fetched")),
        // Anchors are not resolved.
        Some(pointer) if !pointer.is_empty() && !pointer.starts_with('/') => Ok(()),
        Some(_) if resolve_reference(root, name).is_some() => Ok(()),
        Some(_) => Err(format!("`{at}/$ref` refers to `{short_name}`, which is not there")),
    }
}

fn truncate(name: &str) -> String {
    name.chars().take(80).collect()
}
