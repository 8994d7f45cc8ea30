//! A tool's arguments, filled from a task by the tool's JSON Schema.
//!
//! Required properties come first, in the schema's order, then the optional ones; no piece of the
//! task is used twice. JSON goes where the name contains `json`, a path where it contains `path`,
//! numbers and booleans where the type asks for them, and an `enum` takes the word that it lists.
//! Strings take the quoted texts in order; if nothing is quoted, the first string takes what
//! follows the colon, or else the words that the tool's name and description do not contain.

use std::collections::BTreeSet;

use serde_json::{Map, Number, Value};

use crate::task::{Kind, Piece, Task, is_json};

/// Fills the arguments as far as the task has something for them.
pub(crate) fn fill(schema: &Value, task: &Task<'_>, vocabulary: &BTreeSet<String>) -> Map<String, Value> {
    let mut source = Source::new(task, vocabulary);
    properties(schema).filter_map(|(name, property)| Some((name.to_owned(), source.value(name, property)?))).collect()
}

/// The schema's properties, the required ones first.
fn properties(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let all = schema.get("properties").and_then(Value::as_object);
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let optional: Vec<(&str, &Value)> = all
        .into_iter()
        .flatten()
        .map(|(name, property)| (name.as_str(), property))
        .filter(|(name, _)| !required.contains(name))
        .collect();
    required.into_iter().filter_map(move |name| Some((name, all?.get(name)?))).chain(optional)
}

/// What is left of the task.
struct Source<'a> {
    pieces: Vec<Piece<'a>>,
    /// What a string takes if nothing is quoted.
    unquoted: Option<String>,
}

impl<'a> Source<'a> {
    fn new(task: &Task<'a>, vocabulary: &BTreeSet<String>) -> Self {
        let pieces = task.pieces.clone();
        let unquoted = if pieces.iter().any(|piece| piece.kind == Kind::Quoted) {
            None
        } else {
            task.after_colon().map(str::to_owned).or_else(|| task.words_outside(|word| vocabulary.contains(word)))
        };
        Self { pieces, unquoted }
    }

    fn value(&mut self, name: &str, property: &Value) -> Option<Value> {
        if let Some(allowed) = property.get("enum").and_then(Value::as_array) {
            return self.one_of(allowed);
        }
        match kind(property) {
            "integer" => self.find(|piece| piece.bare().parse::<i64>().ok().map(Value::from)),
            "number" => self.find(|piece| piece.bare().parse().ok().map(|n: Number| n.into())),
            "boolean" => self.find(|piece| piece.bare().parse().ok().map(Value::Bool)),
            "array" => self.find(|piece| parsed(piece).filter(Value::is_array)),
            "object" => self.find(|piece| parsed(piece).filter(Value::is_object)),
            "null" => None,
            _ => self.text(name).map(Value::String),
        }
    }

    fn text(&mut self, name: &str) -> Option<String> {
        let name = name.to_lowercase();
        let mut text = None;
        if name.contains("json") {
            text = self.find(|piece| is_json(piece.text).then(|| piece.text.to_owned()));
        }
        if text.is_none() && name.contains("path") {
            text = self.find(|piece| piece.text.starts_with('$').then(|| piece.text.to_owned()));
        }
        text.or_else(|| self.find(|p| (p.kind == Kind::Quoted).then(|| p.text.to_owned())))
            .or_else(|| self.unquoted.take())
    }

    fn one_of(&mut self, allowed: &[Value]) -> Option<Value> {
        allowed.iter().find_map(|value| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.find(|piece| {
                let same = piece.bare().to_lowercase() == text.to_lowercase();
                same.then(|| value.clone())
            })
        })
    }

    /// Uses up the first piece that the function makes something of.
    fn find<T>(&mut self, read: impl Fn(&Piece<'a>) -> Option<T>) -> Option<T> {
        let (at, value) = self.pieces.iter().enumerate().find_map(|(at, piece)| Some((at, read(piece)?)))?;
        self.pieces.remove(at);
        Some(value)
    }
}

/// A property's type; of several, the first that is not null. Without one it is a string.
fn kind(property: &Value) -> &str {
    match property.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            let mut kinds = kinds.iter().filter_map(Value::as_str);
            kinds.find(|kind| *kind != "null").unwrap_or("null")
        }
        _ => "string",
    }
}

fn parsed(piece: &Piece<'_>) -> Option<Value> {
    serde_json::from_str(piece.text).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::words;

    fn filled(properties: Value, required: &[&str], task: &str) -> Value {
        let schema = json!({ "type": "object", "properties": properties, "required": required });
        let vocabulary = words::all("Send a message to people").collect();
        Value::Object(fill(&schema, &Task::new(task), &vocabulary))
    }

    #[test]
    fn quoted_texts_go_to_the_strings_in_the_required_order() {
        let two = json!({ "after": { "type": "string" }, "before": { "type": "string" } });
        assert_eq!(
            filled(two, &["before", "after"], r#"compare "one" with 'two'"#),
            json!({ "before": "one", "after": "two" })
        );
    }

    #[test]
    fn json_and_path_find_their_properties() {
        let query = json!({ "json": { "type": "string" }, "path": { "type": "string" } });
        let expected = json!({ "json": r#"{"a": [1]}"#, "path": "$.a[0]" });
        for task in [r#"query {"a": [1]} by $.a[0]"#, r#"take "$.a[0]" of '{"a": [1]}'"#] {
            assert_eq!(filled(query.clone(), &["json", "path"], task), expected);
        }
    }

    #[test]
    fn types_take_what_fits() {
        let mixed = json!({
            "count": { "type": "integer" },
            "ratio": { "type": ["null", "number"] },
            "loud": { "type": "boolean" },
            "unit": { "enum": ["metre", "Mile"] },
            "tags": { "type": "array" },
        });
        assert_eq!(
            filled(mixed, &["count"], r#"send 3, 0.5 miles mile [1] and true."#),
            json!({ "count": 3, "ratio": 0.5, "loud": true, "unit": "Mile", "tags": [1] })
        );
    }

    #[test]
    fn an_unquoted_text_follows_the_colon_or_is_what_the_tool_does_not_say() {
        let text = json!({ "text": { "type": "string" } });
        assert_eq!(
            filled(text.clone(), &["text"], "send a message: Hello, people!"),
            json!({ "text": "Hello, people!" })
        );
        assert_eq!(
            filled(text, &["text"], "send the message that dinner is ready"),
            json!({ "text": "dinner is ready" })
        );
    }

    #[test]
    fn nothing_is_made_up() {
        let text = json!({ "text": { "type": "string" }, "n": { "type": "integer" } });
        assert_eq!(filled(text, &["text", "n"], "send message"), json!({}));
    }
}
