//! A skill about texts: counts words, compares two texts, and queries JSON.

use moxxy_sdk::{
    skill::{Error, Json},
    tool,
};
use serde::Serialize;
use serde_json::Value;
use serde_json_path::JsonPath;
use similar::TextDiff;

moxxy_sdk::skill!(tools: [word_count, diff, json_path]);

#[derive(Debug, PartialEq, Serialize)]
struct Counts {
    words: usize,
    characters: usize,
    lines: usize,
}

/// Count the words, characters and lines of a text.
#[tool(read_only, idempotent)]
fn word_count(
    /// The text to count.
    text: String,
) -> Json<Counts> {
    Json(Counts {
        words: text.split_whitespace().count(),
        characters: text.chars().count(),
        lines: text.lines().count(),
    })
}

/// Compare two texts line by line and show the differences as a unified diff.
#[tool(read_only, idempotent)]
fn diff(
    /// The old text.
    before: String,
    /// The new text.
    after: String,
) -> String {
    if before == after {
        return "The texts are equal.".to_owned();
    }
    let diff = TextDiff::from_lines(&before, &after);
    diff.unified_diff().header("before", "after").to_string()
}

/// Query JSON with a JSONPath expression (RFC 9535), such as `$.items[*].name`, and return all
/// values that match.
#[tool(read_only, idempotent)]
fn json_path(
    /// The JSON document to query, as text.
    json: String,
    /// The JSONPath expression; it starts with $.
    path: String,
) -> Result<Json<Vec<Value>>, Error> {
    let document: Value =
        serde_json::from_str(&json).map_err(|error| Error::invalid(format!("`json` is not JSON: {error}")))?;
    let path = JsonPath::parse(&path).map_err(|error| Error::invalid(format!("`path` is not a JSONPath: {error}")))?;
    Ok(Json(path.query(&document).all().into_iter().cloned().collect()))
}

#[cfg(test)]
mod tests {
    use moxxy_sdk::testing::Host;
    use serde_json::json;

    use super::*;

    #[test]
    fn words_characters_and_lines_are_counted() {
        let Json(counts) = word_count("Zwölf Boxkämpfer\njagen  Viktor".into());
        assert_eq!(counts, Counts { words: 4, characters: 30, lines: 2 });
    }

    #[test]
    fn a_diff_is_unified() {
        let unified = diff("a\nb\n".into(), "a\nc\n".into());
        assert_eq!(unified, "--- before\n+++ after\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n");
    }

    #[test]
    fn a_path_finds_all_matches() {
        let input = json!({ "json": r#"{"a": [{"b": "x"}, {"b": "long"}]}"#, "path": "$.a[*].b" });
        let found = Host::new().call::<json_path>(input).unwrap();
        assert_eq!((&*found.content, &*found.media_type), (r#"["x","long"]"#, "application/json"));
    }

    #[test]
    fn a_filter_may_use_functions() {
        let Json(found) = json_path(r#"["x", "long"]"#.into(), "$[?length(@) > 2]".into()).unwrap();
        assert_eq!(found, ["long"]);
    }

    #[test]
    fn wrong_arguments_are_named() {
        for (input, named) in [
            (json!({ "json": "{", "path": "$" }), "`json`"),
            (json!({ "json": "{}", "path": "a" }), "`path`"),
            (json!({ "json": "{}", "path": 7 }), "`path`"),
            (json!({ "json": "{}" }), "`path`"),
            (json!({ "json": "{}", "path": "$", "paht": "$" }), "`paht`"),
        ] {
            match Host::new().call::<json_path>(input) {
                Err(Error::Invalid(message)) => assert!(message.contains(named), "{message}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
