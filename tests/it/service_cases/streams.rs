//! Streams and answers in unusual forms.

use super::*;

pub(super) const CASES: &[Case] = &[
    // Streams that end in another way.
    ("ends without [DONE]", |_| events(format!("{WHOLE}\n\n")), Output("whole")),
    ("ends without a blank line", |_| events(WHOLE), Output("whole")),
    ("[DONE] without a line end", |_| events(format!("{WHOLE}\n\ndata: [DONE]")), Output("whole")),
    ("[DONE] without finish_reason", |_| values(&[piece(json!({ "content": "whole" }), Value::Null)]), Output("whole")),
    (
        "usage after finish_reason",
        |_| {
            events(format!(
                "{WHOLE}\n\n: ping\n\n{}data: [DONE]\n\n",
                line(&json!({ "choices": [], "usage": { "prompt_tokens": 7, "completion_tokens": 1 } }))
            ))
        },
        Output("whole"),
    ),
    (
        "comments after finish_reason, no end",
        |_| {
            let pings = (0..40).map(|_| (500, ": ping\n\n".to_owned()));
            slowly([(0, format!("{WHOLE}\n\n"))].into_iter().chain(pings).collect())
        },
        Output("whole"),
    ),
    (
        "silence after finish_reason, no end",
        |_| slowly(vec![(0, format!("{WHOLE}\n\n")), (60_000, ": ping\n\n".to_owned())]),
        Output("whole"),
    ),
    (
        "comments before the first token",
        |_| {
            let pings = (0..8).map(|_| (100, ": OPENROUTER PROCESSING\n\n".to_owned()));
            slowly(pings.chain([(0, format!("{WHOLE}\n\n"))]).collect())
        },
        Output("whole"),
    ),
    (
        "empty deltas between tokens",
        |_| {
            let none = (0..8).map(|_| (50, line(&piece(json!({}), Value::Null))));
            slowly(none.chain([(0, format!("{WHOLE}\n\n"))]).collect())
        },
        Output("whole"),
    ),
    // Answers that are no stream.
    (
        "one JSON object",
        |_| {
            status(
                200,
                json!({ "object": "chat.completion", "choices": [{ "index": 0, "finish_reason": "stop",
                "message": { "role": "assistant", "content": "whole" } }], "usage": { "prompt_tokens": 1, "completion_tokens": 1 } }),
            )
        },
        Output("whole"),
    ),
    (
        "a call in one JSON object",
        |asked| match asked.turns() {
            0 => status(
                200,
                json!({ "choices": [{ "index": 0, "finish_reason": "tool_calls",
                "message": { "role": "assistant", "content": null, "tool_calls": [good_call("c1")] } }] }),
            ),
            _ => says("done"),
        },
        Output("done"),
    ),
    (
        "a whole message in a stream",
        |_| {
            values(&[
                json!({ "choices": [{ "index": 0, "message": { "content": "whole" }, "finish_reason": "stop" }] }),
            ])
        },
        Output("whole"),
    ),
    (
        "`message` in place of `delta`",
        |_| {
            values(&[
                json!({ "choices": [{ "message": { "content": "who" } }] }),
                json!({ "choices": [{ "message": { "content": "le" }, "finish_reason": "stop" }] }),
            ])
        },
        Output("whole"),
    ),
    (
        "`text` of older completions",
        |_| values(&[json!({ "choices": [{ "index": 0, "text": "whole", "finish_reason": "stop" }] })]),
        Output("whole"),
    ),
    (
        "compressed by gzip",
        |_| {
            // The compressed form of the stream `WHOLE`.
            let body = include_bytes!("../data/whole.sse.gz").as_slice();
            ([("content-type", "text/event-stream"), ("content-encoding", "gzip")], body).into_response()
        },
        Output("whole"),
    ),
    (
        "compressed by br",
        |_| {
            let body = include_bytes!("../data/whole.sse.br").as_slice();
            ([("content-type", "text/event-stream"), ("content-encoding", "br")], body).into_response()
        },
        Output("whole"),
    ),
    (
        "compressed by zstd",
        |_| {
            let body = include_bytes!("../data/whole.sse.zst").as_slice();
            ([("content-type", "text/event-stream"), ("content-encoding", "zstd")], body).into_response()
        },
        Output("whole"),
    ),
    // Texts.
    (
        "a surrogate pair in two pieces",
        |_| {
            events(
                "data: {\"choices\": [{\"delta\": {\"content\": \"hi \\ud83d\"}}]}\n\ndata: {\"choices\": [{\"delta\": {\"content\": \"\\ude00 bye\"}, \"finish_reason\": \"stop\"}]}\n\n",
            )
        },
        Output("hi 😀 bye"),
    ),
    (
        "half a surrogate pair alone",
        |_| {
            events("data: {\"choices\": [{\"delta\": {\"content\": \"a\\ud83d b\"}, \"finish_reason\": \"stop\"}]}\n\n")
        },
        Output("a\u{fffd} b"),
    ),
    (
        "a thought in tags",
        |_| {
            values(&[
                piece(json!({ "content": "<think>\nhm\n</think>\n\n" }), Value::Null),
                piece(json!({ "content": "2" }), json!("stop")),
            ])
        },
        Output("2"),
    ),
    (
        "a thought in tags, letter by letter",
        |_| {
            let letters: Vec<_> =
                "<think>hm</think>2".chars().map(|c| piece(json!({ "content": c.to_string() }), Value::Null)).collect();
            values(&[letters, vec![piece(json!({}), json!("stop"))]].concat())
        },
        Output("2"),
    ),
    ("tags in the midst of the text", |_| says("a <think> b </think>"), Output("a <think> b </think>")),
    // Answers that say nothing.
    (
        "a thought alone",
        |_| {
            values(&[
                piece(json!({ "content": "", "reasoning_content": "Let me think." }), Value::Null),
                piece(json!({}), json!("stop")),
            ])
        },
        Failure("empty_answer", "without text and without a tool call"),
    ),
    ("nothing, then an answer", |asked| if asked.before == 0 { says("") } else { says("whole") }, Output("whole")),
    ("nothing but [DONE]", |_| events("data: [DONE]\n\n"), Failure("provider_unreachable", "without saying anything")),
    (
        "all output tokens for a thought",
        |_| values(&[piece(json!({ "reasoning_content": "Hm" }), json!("length"))]),
        Failure("output_limit", "max_output_tokens"),
    ),
    (
        "each call is cut off",
        |asked| {
            let cut = call(json!(format!("c{}", asked.turns())), json!("{\"text\": \"word word"));
            values(&[piece(json!({ "tool_calls": [cut] }), Value::Null), piece(json!({}), json!("length"))])
        },
        Failure("output_limit", "max_output_tokens"),
    ),
    ("a refusal", |_| values(&[piece(json!({ "refusal": "I will not." }), json!("stop"))]), Output("I will not.")),
];
