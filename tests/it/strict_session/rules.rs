//! What the strictest services demand of a request for a completion.

use std::{collections::HashSet, process::Stdio};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Mutex,
};

use crate::{harness::target, tools};

/// Fields of a message that are known.
const FIELDS: [&str; 4] = ["role", "content", "tool_calls", "tool_call_id"];

/// Returns the rule that a request breaks. `is_strict` adds what only the strictest services demand.
pub(super) fn broken(body: &Value, is_strict: bool) -> Option<String> {
    if is_strict && has_null(body) {
        return Some("a field is null".to_owned());
    }
    let mut messages = body["messages"].as_array()?.as_slice();
    if let [first, rest @ ..] = messages
        && first["role"] == "system"
    {
        messages = rest;
    }
    if !messages.last().is_some_and(|last| last["role"] == "user" || last["role"] == "tool") {
        return Some("the last message is not of the user or a tool".to_owned());
    }
    let mut before = "start";
    let mut open = HashSet::new();
    for (index, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        let follows = matches!(
            (before, role, open.is_empty()),
            ("start" | "answer", "user", true)
                | ("user" | "tool", "assistant", true)
                | ("calls" | "tool", "tool", false)
        );
        if !follows {
            return Some(format!("message {index} of {role} follows {before}, with {} calls open", open.len()));
        }
        if let Some(what) = wrong_message(message, &mut open, is_strict) {
            return Some(format!("message {index} of {role}: {what}"));
        }
        before = match role {
            "assistant" if open.is_empty() => "answer",
            "assistant" => "calls",
            role => role,
        };
    }
    (!open.is_empty()).then(|| "calls without results at the end".to_owned())
}

/// Checks a message by itself, and its calls or the call that it answers. `open` has the ids of calls without results.
fn wrong_message(message: &Value, open: &mut HashSet<String>, is_strict: bool) -> Option<&'static str> {
    if let Some(calls) = message.get("tool_calls") {
        for call in calls.as_array()? {
            let id = call["id"].as_str().unwrap_or_default();
            let is_nine = id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if id.is_empty() || (is_strict && !is_nine) {
                return Some("an id is not nine letters and digits");
            }
            if !open.insert(id.to_owned()) {
                return Some("two calls have the same id");
            }
            let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
            if !serde_json::from_str::<Value>(arguments).is_ok_and(|arguments| arguments.is_object()) {
                return Some("arguments are not a JSON object");
            }
        }
    }
    if message["role"] == "tool" && !message["tool_call_id"].as_str().is_some_and(|id| open.remove(id)) {
        return Some("it answers no call");
    }
    let text = match &message["content"] {
        Value::String(text) => text.as_str(),
        Value::Null if !is_strict && !open.is_empty() => "",
        _ => return Some("its content is not a text"),
    };
    if text.trim().is_empty() && open.is_empty() && message["role"] != "tool" {
        return Some("it is empty");
    }
    let is_known = |name: &String| FIELDS.contains(&name.as_str());
    let is_known = !is_strict || message.as_object()?.keys().all(is_known);
    (!is_known).then_some("it has an unknown field")
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        _ => false,
    }
}

/// The library with which Mistral's services validate requests, in a process of its own.
pub(super) struct Validator(Mutex<Process>);

struct Process {
    requests: ChildStdin,
    verdicts: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Validator {
    /// Starts the process, or returns `None` if it is not installed.
    pub(super) fn start() -> Option<Self> {
        let python = target("clients/python");
        if !python.join("installed").exists() {
            tools::skip("python/installed is missing: run `make clients`");
            return None;
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clients/strict.py");
        let mut command = Command::new(python.join("bin/python"));
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let (requests, verdicts) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
        Some(Self(Mutex::new(Process { requests, verdicts, _child: child })))
    }

    /// Returns the rule that a request breaks.
    pub(super) async fn broken(&self, body: &Value) -> Option<String> {
        let mut process = self.0.lock().await;
        process.requests.write_all(format!("{body}\n").as_bytes()).await.unwrap();
        let verdict = process.verdicts.next_line().await.unwrap().expect("the validator ended");
        (verdict != "ok").then_some(verdict)
    }
}

#[tokio::test]
async fn requests_that_strict_services_refuse_are_found() {
    let validator = Validator::start();
    let user = json!({ "role": "user", "content": "go" });
    let says = |text: &str| json!({ "role": "assistant", "content": text });
    let calls = |id: &str| {
        json!({ "role": "assistant", "content": "", "tool_calls": [{
        "id": id, "type": "function", "function": { "name": "f", "arguments": "{}" }
    }] })
    };
    let result = |id: &str| json!({ "role": "tool", "content": "1", "tool_call_id": id });
    let (nine, other) = ("abcdefgh1", "abcdefgh2");
    let thinks = json!({ "role": "assistant", "content": "a", "reasoning_content": "b" });
    // The messages, and whether our rules and the library find what is wrong with them.
    let cases = [
        (json!([user, calls(nine), result(nine)]), false, false),
        (json!([user, says("a")]), true, true),
        (json!([user, says(""), user]), true, false),
        (json!([user, calls(nine), user]), true, true),
        (json!([user, calls(nine), result(other)]), true, true),
        (json!([user, calls(nine), result(nine), user]), true, false),
        (json!([user, calls("call_1"), result("call_1")]), true, true),
        (json!([user, thinks, user]), true, true),
        (json!([user, { "role": "assistant", "content": null }, user]), true, false),
    ];
    for (messages, is_broken, is_refused) in cases {
        let body = json!({ "model": "m", "messages": messages });
        assert_eq!(broken(&body, true).is_some(), is_broken, "{messages}");
        if let Some(validator) = &validator {
            let refused = validator.broken(&body).await;
            assert_eq!(refused.is_some(), is_refused, "{messages}: {refused:?}");
        }
    }
}
