//! The tools: what the model is told of each, and what each does.

use moxxy_sdk::skill::{Error, Output, Tool};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use serde_json_path::JsonPath;
use similar::TextDiff;

/// The tools as the model is shown them.
pub fn list() -> Vec<Tool> {
    [
        Tool::new(
            "word_count",
            "Count the words, characters and lines of a text.",
            parameters(&[("text", "The text to count.")]),
        ),
        Tool::new(
            "diff",
            "Compare two texts line by line and show the differences as a unified diff.",
            parameters(&[("before", "The old text."), ("after", "The new text.")]),
        ),
        Tool::new(
            "json_path",
            "Query JSON with a JSONPath expression (RFC 9535), such as $.items[*].name, and \
             return all values that match.",
            parameters(&[
                ("json", "The JSON document to query, as text."),
                ("path", "The JSONPath expression; it starts with $."),
            ]),
        ),
    ]
    .map(|tool| tool.read_only().idempotent())
    .into()
}

/// A schema of required strings.
fn parameters(properties: &[(&str, &str)]) -> Value {
    let named: serde_json::Map<String, Value> = properties
        .iter()
        .map(|&(name, description)| {
            let property = json!({ "type": "string", "description": description });
            (name.to_owned(), property)
        })
        .collect();
    let required: Vec<&str> = properties.iter().map(|&(name, _)| name).collect();
    json!({
        "type": "object",
        "properties": named,
        "required": required,
        "additionalProperties": false,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WordCount {
    text: String,
}

#[derive(Serialize)]
struct Counts {
    words: usize,
    characters: usize,
    lines: usize,
}

pub fn word_count(WordCount { text }: WordCount) -> Result<Output, Error> {
    Output::json(&Counts {
        words: text.split_whitespace().count(),
        characters: text.chars().count(),
        lines: text.lines().count(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diff {
    before: String,
    after: String,
}

pub fn diff(Diff { before, after }: Diff) -> Result<Output, Error> {
    if before == after {
        return Ok(Output::text("The texts are equal."));
    }
    let diff = TextDiff::from_lines(&before, &after);
    let unified = diff.unified_diff().header("before", "after").to_string();
    Ok(Output::text(unified))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    json: String,
    path: String,
}

pub fn json_path(Query { json, path }: Query) -> Result<Output, Error> {
    let document: Value =
        serde_json::from_str(&json).map_err(|error| Error::invalid(format!("`json` is not JSON: {error}")))?;
    let path = JsonPath::parse(&path).map_err(|error| Error::invalid(format!("`path` is not a JSONPath: {error}")))?;
    Output::json(&path.query(&document).all())
}

#[cfg(test)]
mod tests {
    use moxxy_sdk::skill::arguments;

    use super::*;

    #[test]
    fn words_characters_and_lines_are_counted() {
        let input = arguments(json!({ "text": "Zwölf Boxkämpfer\njagen  Viktor" })).unwrap();
        let counts = word_count(input).unwrap();
        assert_eq!(counts.content, r#"{"words":4,"characters":30,"lines":2}"#);
        assert_eq!(counts.media_type, "application/json");
    }

    #[test]
    fn a_diff_is_unified() {
        let input = json!({ "before": "a\nb\n", "after": "a\nc\n" });
        let unified = diff(arguments(input).unwrap()).unwrap();
        assert_eq!(unified.content, "--- before\n+++ after\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n");
    }

    #[test]
    fn a_path_finds_all_matches() {
        let input = json!({ "json": r#"{"a": [{"b": "x"}, {"b": "long"}]}"#, "path": "$.a[*].b" });
        let found = json_path(arguments(input).unwrap()).unwrap();
        assert_eq!(found.content, r#"["x","long"]"#);
    }

    #[test]
    fn a_filter_may_use_functions() {
        let input = json!({ "json": r#"["x", "long"]"#, "path": "$[?length(@) > 2]" });
        let found = json_path(arguments(input).unwrap()).unwrap();
        assert_eq!(found.content, r#"["long"]"#);
    }

    #[test]
    fn wrong_arguments_are_named() {
        for (input, named) in [
            (json!({ "json": "{", "path": "$" }), "`json`"),
            (json!({ "json": "{}", "path": "a" }), "`path`"),
            (json!({ "json": "{}" }), "`path`"),
            (json!({ "json": "{}", "path": "$", "paht": "$" }), "`paht`"),
        ] {
            match arguments(input).and_then(json_path) {
                Err(Error::Invalid(message)) => assert!(message.contains(named), "{message}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
