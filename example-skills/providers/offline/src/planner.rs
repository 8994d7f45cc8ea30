//! The model `planner`: calls the tool that shares the most words with the task.
//!
//! Words are compared between the task (up to its colon, if that is enough) and a tool's name
//! and description; the first tool wins a tie. When the last message carries results they are
//! reported instead, and when no tool shares a word the answer says so and lists the tools.

use std::collections::BTreeSet;

use moxxy_sdk::provider::{Error, Request, Role, ToolCall, ToolDefinition};
use serde_json::Value;

use crate::answer::Answer;
use crate::report::{report, short_name};
use crate::task::Task;
use crate::{arguments, words};

/// Answers a conversation with a call or a sentence.
pub(crate) fn answer(request: &Request) -> Result<Answer, Error> {
    if let Some(text) = report(request) {
        return Ok(Answer::Text(text));
    }
    let last = request.messages.last().filter(|message| message.role == Role::User);
    let text = last
        .ok_or_else(|| {
            let message = "the last message is neither from the user nor a tool result";
            Error::InvalidRequest(message.to_owned())
        })?
        .text();
    let task = Task::new(&text);
    match choose(&task, &request.tools) {
        Some(tool) => call(tool, &task, request).map(Answer::Call),
        None => Ok(Answer::Text(abilities(&request.tools))),
    }
}

fn choose<'a>(task: &Task<'_>, tools: &'a [ToolDefinition]) -> Option<&'a ToolDefinition> {
    let instruction: Vec<&str> = task.words_before_colon().collect();
    let everything: Vec<&str> = task.words().collect();
    most_words_shared(&instruction, tools).or_else(|| most_words_shared(&everything, tools))
}

fn most_words_shared<'a>(said: &[&str], tools: &'a [ToolDefinition]) -> Option<&'a ToolDefinition> {
    let said = words::meaningful(&said.join(" "));
    let shared = |tool: &ToolDefinition| words::meaningful(&description(tool)).intersection(&said).count();
    // `max_by_key` would return the last of several.
    let mut best = None;
    for tool in tools {
        let score = shared(tool);
        if score > best.map_or(0, |(_, score)| score) {
            best = Some((tool, score));
        }
    }
    best.map(|(tool, _)| tool)
}

fn description(tool: &ToolDefinition) -> String {
    format!("{} {}", tool.name, tool.description)
}

fn call(tool: &ToolDefinition, task: &Task<'_>, request: &Request) -> Result<ToolCall, Error> {
    let schema: Value = serde_json::from_str(&tool.parameters)
        .map_err(|error| Error::InvalidRequest(format!("the parameters of `{}`: {error}", tool.name)))?;
    let vocabulary: BTreeSet<String> = words::all(&description(tool)).collect();
    let arguments = arguments::fill(&schema, task, &vocabulary);
    // The conversation only grows, so its length has not named a call before.
    let id = format!("call_{}", request.messages.len());
    Ok(ToolCall::new(id, tool.name.clone(), Value::Object(arguments).to_string()))
}

fn abilities(tools: &[ToolDefinition]) -> String {
    if tools.is_empty() {
        return "No tool fits this task: I have none.".to_owned();
    }
    let tools: Vec<String> =
        tools.iter().map(|tool| format!("- {}: {}", short_name(&tool.name), tool.description)).collect();
    format!("No tool fits this task. What I can do:\n{}", tools.join("\n"))
}

#[cfg(test)]
mod tests {
    use moxxy_sdk::provider::{Message, Part, ToolResult};
    use serde_json::json;

    use super::*;

    fn tool(name: &str, description: &str, properties: &[&str]) -> ToolDefinition {
        let named: serde_json::Map<String, Value> =
            properties.iter().map(|&name| (name.to_owned(), json!({ "type": "string" }))).collect();
        let schema = json!({ "type": "object", "properties": named, "required": properties });
        ToolDefinition { name: name.to_owned(), description: description.to_owned(), parameters: schema.to_string() }
    }

    fn ask(task: &str) -> Request {
        Request {
            messages: vec![Message::new(Role::User, vec![Part::Text(task.to_owned())])],
            tools: vec![
                tool("text__word_count", "Count the words, characters and lines of a text.", &["text"]),
                tool("text__diff", "Compare two texts and show the differences.", &["before", "after"]),
                tool("text__json_path", "Query JSON with a JSONPath expression.", &["json", "path"]),
            ],
            ..Request::new("planner")
        }
    }

    fn called(task: &str) -> (String, Value) {
        match answer(&ask(task)) {
            Ok(Answer::Call(call)) => (call.name, serde_json::from_str(&call.arguments).unwrap()),
            other => panic!("no call: {other:?}"),
        }
    }

    #[test]
    fn the_tool_that_shares_words_is_called() {
        assert_eq!(
            called(r#"Count the words in "the quick brown fox""#),
            ("text__word_count".to_owned(), json!({ "text": "the quick brown fox" }))
        );
        assert_eq!(
            called("compare 'a b' with 'a c'"),
            ("text__diff".to_owned(), json!({ "before": "a b", "after": "a c" }))
        );
        assert_eq!(
            called(r#"Query {"a": [1, 2]} with $.a[1]"#),
            ("text__json_path".to_owned(), json!({ "json": r#"{"a": [1, 2]}"#, "path": "$.a[1]" }))
        );
    }

    #[test]
    fn what_a_task_is_about_does_not_choose() {
        let (name, arguments) = called("Count the words: compare json with a jsonpath");
        assert_eq!(name, "text__word_count");
        assert_eq!(arguments, json!({ "text": "compare json with a jsonpath" }));
        assert_eq!(called(r#"Note: count "compare the differences""#).0, "text__word_count");
    }

    #[test]
    fn the_first_of_equals_wins() {
        assert_eq!(called("do something with my text 'a'").0, "text__word_count");
    }

    #[test]
    fn without_a_tool_the_abilities_are_listed() {
        let Ok(Answer::Text(text)) = answer(&ask("order a pizza")) else {
            panic!("it found a tool for pizza");
        };
        assert!(text.starts_with("No tool fits this task."), "{text}");
        assert!(text.contains("- diff: Compare two texts"), "{text}");
    }

    #[test]
    fn a_result_is_reported_under_the_name_of_its_tool() {
        let mut request = ask("count the words in 'a b'");
        let Ok(Answer::Call(call)) = answer(&request) else {
            panic!("no call");
        };
        let result = ToolResult { call_id: call.id.clone(), content: r#"{"words":2}"#.to_owned(), is_error: false };
        for (role, part) in [(Role::Assistant, Part::ToolCall(call)), (Role::Tool, Part::ToolResult(result))] {
            request.messages.push(Message::new(role, vec![part]));
        }
        let Ok(Answer::Text(text)) = answer(&request) else {
            panic!("no report");
        };
        assert_eq!(text, "The result of word_count: words 2.");
    }
}
