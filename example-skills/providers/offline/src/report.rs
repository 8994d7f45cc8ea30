//! Tool results as sentences.

use std::fmt;

use moxxy_sdk::provider::{Part, Request, ToolResult};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// Reports what the last message carries, or nothing if it carries no results.
pub(crate) fn report(request: &Request) -> Option<String> {
    let sentences: Vec<String> = request
        .messages
        .last()?
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::ToolResult(result) => Some(sentence(tool_name(request, &result.call_id), result)),
            _ => None,
        })
        .collect();
    (!sentences.is_empty()).then(|| sentences.join("\n"))
}

/// A tool's name without the skill's, as `word_count` of `text__word_count`.
pub(crate) fn short_name(name: &str) -> &str {
    name.split_once("__").map_or(name, |(_, tool)| tool)
}

fn tool_name<'a>(request: &'a Request, call_id: &str) -> &'a str {
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    parts
        .filter_map(|part| match part {
            Part::ToolCall(call) if call.id == call_id => Some(short_name(&call.name)),
            _ => None,
        })
        .next_back()
        .unwrap_or("the tool")
}

fn sentence(tool: &str, result: &ToolResult) -> String {
    let content = result.content.trim();
    if result.is_error {
        return finished(format!("{tool} failed: {content}"));
    }
    if content.is_empty() {
        return format!("The result of {tool} is empty.");
    }
    if let Ok(Members(members)) = serde_json::from_str(content) {
        let members: Vec<String> = members.iter().map(member).collect();
        return format!("The result of {tool}: {}.", members.join(", "));
    }
    let space = if content.contains('\n') { '\n' } else { ' ' };
    finished(format!("The result of {tool}:{space}{content}"))
}

fn member((name, value): &(String, Value)) -> String {
    match value {
        Value::String(text) => format!("{name} {text}"),
        other => format!("{name} {other}"),
    }
}

/// A sentence of one line ends with a full stop.
fn finished(mut sentence: String) -> String {
    if !sentence.contains('\n') && !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

/// A JSON object's members in the order in which they stand.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(content: &str, is_error: bool) -> String {
        let result = ToolResult { call_id: "1".to_owned(), content: content.to_owned(), is_error };
        sentence("word_count", &result)
    }

    #[test]
    fn an_object_is_told_in_its_order() {
        assert_eq!(
            said(r#"{"words":4,"characters":19,"lines":1}"#, false),
            "The result of word_count: words 4, characters 19, lines 1."
        );
    }

    #[test]
    fn other_results_are_quoted_as_they_are() {
        assert_eq!(said("[1,2]", false), "The result of word_count: [1,2].");
        assert_eq!(said("Done!", false), "The result of word_count: Done!");
        assert_eq!(said("-a\n+b\n", false), "The result of word_count:\n-a\n+b");
        assert_eq!(said("", false), "The result of word_count is empty.");
    }

    #[test]
    fn an_error_is_no_result() {
        assert_eq!(said("no text given", true), "word_count failed: no text given.");
    }
}
