//! Fields of unusual types, and fields that have to come back.

use super::*;

pub(super) const CASES: &[Case] = &[
    // Fields of other types.
    (
        "finish_reason is an object",
        |_| {
            values(&[
                piece(json!({ "content": "whole" }), Value::Null),
                piece(json!({}), json!({ "type": "stop", "matched": 1 })),
            ])
        },
        Output("whole"),
    ),
    ("finish_reason is a number", |_| values(&[piece(json!({ "content": "whole" }), json!(1))]), Output("whole")),
    (
        "reasoning is an object",
        |_| {
            values(&[
                piece(json!({ "reasoning": { "content": "hm" } }), Value::Null),
                piece(json!({ "content": "whole" }), json!("stop")),
            ])
        },
        Output("whole"),
    ),
    (
        "content is a list",
        |_| values(&[piece(json!({ "content": [{ "type": "text", "text": "whole" }] }), json!("stop"))]),
        Output("whole"),
    ),
    (
        "choices are null, then one",
        |_| values(&[json!({ "choices": null }), piece(json!({ "content": "whole" }), json!("stop"))]),
        Output("whole"),
    ),
    (
        "usage, created and model of odd types",
        |_| {
            values(&[
                json!({ "created": "now", "model": 7, "usage": "much", "choices": [{ "delta": { "content": "whole", "tool_calls": "none" }, "finish_reason": "stop" }] }),
            ])
        },
        Output("whole"),
    ),
    (
        "the id of a call is a number",
        |asked| call_and_done(asked, call(json!(7), json!("{\"text\": \"a b\"}"))),
        Output("done"),
    ),
    (
        "the id of a call is null",
        |asked| call_and_done(asked, call(Value::Null, json!("{\"text\": \"a b\"}"))),
        Output("done"),
    ),
    (
        "the id of a call is empty",
        |asked| call_and_done(asked, call(json!(""), json!("{\"text\": \"a b\"}"))),
        Output("done"),
    ),
    (
        "arguments are an object",
        |asked| call_and_done(asked, call(json!("c1"), json!({ "text": "a b" }))),
        Output("done"),
    ),
    ("arguments are a list", |asked| call_and_done(asked, call(json!("c1"), json!([]))), Output("done")),
    ("arguments are null", |asked| call_and_done(asked, call(json!("c1"), Value::Null)), Output("done")),
    (
        "a legacy function_call",
        |asked| match asked.turns() {
            0 => values(&[
                piece(json!({ "function_call": { "name": "text__word_count", "arguments": "{\"te" } }), Value::Null),
                piece(json!({ "function_call": { "arguments": "xt\": \"a\"}" } }), json!("function_call")),
            ]),
            _ => says("done"),
        },
        Output("done"),
    ),
    (
        "two calls in one piece",
        |asked| match asked.calls().len() {
            0 => calls(
                json!([good_call("c1"), { "index": 1, "id": "c2", "function": { "name": "text__word_count", "arguments": "{\"text\": \"\"}" } }]),
            ),
            2 => says("done"),
            _ => refuse("two calls"),
        },
        Output("done"),
    ),
    (
        "two calls in one piece without numbers",
        |asked| {
            let unnumbered = |id: &str| json!({ "id": id, "function": { "name": "text__word_count", "arguments": "{\"text\": \"\"}" } });
            match asked.calls().len() {
                0 => calls(json!([unnumbered("c1"), unnumbered("c2")])),
                2 => says("done"),
                _ => refuse("two calls"),
            }
        },
        Output("done"),
    ),
    (
        "finish_reason `stop` with a call",
        |asked| match asked.turns() {
            0 => values(&[piece(json!({ "tool_calls": [good_call("c1")] }), json!("stop"))]),
            _ => says("done"),
        },
        Output("done"),
    ),
    // What has to come back.
    (
        "reasoning_content comes back with calls",
        |asked| {
            let without =
                |message: &Value| message.get("tool_calls").is_some() && message.get("reasoning_content").is_none();
            match asked.turns() {
                _ if asked.messages().iter().any(without) => {
                    refuse("The `reasoning_content` in the thinking mode must be passed back to the API.")
                }
                2 => says("done"),
                0 => values(&[
                    piece(json!({ "reasoning_content": "I count." }), Value::Null),
                    piece(json!({ "tool_calls": [good_call("c0")] }), json!("tool_calls")),
                ]),
                _ => calls(json!([good_call("c1")])),
            }
        },
        Output("done"),
    ),
    (
        "extra_content of a call comes back",
        |asked| {
            let signature = json!({ "google": { "thought_signature": "SIG1" } });
            match asked.calls().first() {
                Some(call) if call["extra_content"] != signature => status(
                    400,
                    json!([{ "error": { "code": 400, "status": "INVALID_ARGUMENT", "message": "Function call is missing a thought_signature." } }]),
                ),
                Some(_) => says("done"),
                None => calls(
                    json!([{ "index": 0, "id": "f1", "extra_content": signature, "function": { "name": "text__word_count", "arguments": "{\"text\": \"a\"}" } }]),
                ),
            }
        },
        Output("done"),
    ),
    (
        "extra_content of a message comes back",
        |asked| {
            let made = asked.messages().iter().find(|message| message["role"] == "assistant");
            match made {
                Some(message) if message["extra_content"] != json!({ "sig": 1 }) => refuse("the signature was lost"),
                Some(_) => says("done"),
                None => values(&[piece(
                    json!({ "extra_content": { "sig": 1 }, "tool_calls": [good_call("c1")] }),
                    json!("tool_calls"),
                )]),
            }
        },
        Output("done"),
    ),
    (
        "reasoning_details come back",
        |asked| {
            let details = json!([{ "type": "reasoning.encrypted", "data": "abc", "index": 0 }]);
            let made = asked.messages().iter().find(|message| message["role"] == "assistant");
            match made {
                Some(message) if message["reasoning_details"] != details => refuse("the details were lost"),
                Some(_) => says("done"),
                None => values(&[piece(
                    json!({ "reasoning_details": details, "tool_calls": [good_call("c1")] }),
                    json!("tool_calls"),
                )]),
            }
        },
        Output("done"),
    ),
    (
        "an id of 4 KiB comes back",
        |asked| {
            let id = format!("call_{}", "Ab3/".repeat(1024));
            match asked.calls().first() {
                Some(call) if call["id"] != *id => refuse("the id was lost"),
                Some(_) => says("done"),
                None => calls(json!([good_call(&id)])),
            }
        },
        Output("done"),
    ),
];
