//! What comes of a stream.

use moxxy_sdk::provider::{StopReason, Thinking, ToolCallDelta, Usage};
use serde_json::json;

use super::*;

fn streamed(body: &str) -> (Vec<Chunk>, Option<Error>) {
    completed(&mut Host::new().response("POST", MESSAGES, 200, body), request())
}

fn start() -> Value {
    json!({ "type": "message_start", "message": { "id": "m1", "role": "assistant", "content": [], "usage": {
        "input_tokens": 3, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 40, "output_tokens": 1,
    } } })
}

fn begin(index: u32, block: Value) -> Value {
    json!({ "type": "content_block_start", "index": index, "content_block": block })
}

fn delta(index: u32, kind: &str, field: &str, piece: &str) -> Value {
    json!({ "type": "content_block_delta", "index": index, "delta": { "type": kind, field: piece } })
}

fn end(index: u32) -> Value {
    json!({ "type": "content_block_stop", "index": index })
}

fn finish(reason: &str) -> [Value; 2] {
    let delta = json!({ "stop_reason": reason, "stop_sequence": null });
    [
        json!({ "type": "message_delta", "delta": delta, "usage": { "output_tokens": 30 } }),
        json!({ "type": "message_stop" }),
    ]
}

fn whole() -> String {
    let mut all = vec![
        start(),
        json!({ "type": "ping" }),
        begin(0, json!({ "type": "thinking", "thinking": "", "signature": "" })),
        delta(0, "thinking_delta", "thinking", "Hm"),
        delta(0, "thinking_delta", "thinking", "m."),
        delta(0, "signature_delta", "signature", "c2ln"),
        end(0),
        begin(1, json!({ "type": "redacted_thinking", "data": "AAAA" })),
        end(1),
        begin(2, json!({ "type": "text", "text": "" })),
        delta(2, "text_delta", "text", "Grüß "),
        delta(2, "text_delta", "text", "dich 👋"),
        delta(2, "citations_delta", "citation", "x"),
        end(2),
        begin(3, json!({ "type": "tool_use", "id": "toolu_1", "name": "look", "input": {} })),
        begin(4, json!({ "type": "tool_use", "id": "toolu_2", "name": "ask", "input": {} })),
        delta(3, "input_json_delta", "partial_json", ""),
        delta(3, "input_json_delta", "partial_json", "{\"at\":\"Zür"),
        delta(4, "input_json_delta", "partial_json", "{}"),
        delta(3, "input_json_delta", "partial_json", "ich\"}"),
        end(3),
        end(4),
        json!({ "type": "odd", "what": [1] }),
    ];
    all.extend(finish("tool_use"));
    events(&all)
}

fn thought(text: Option<&str>, opaque: Value) -> Chunk {
    Chunk::Thinking(Thinking { text: text.map(str::to_owned), opaque: opaque.to_string().into_bytes() })
}

fn call(index: u32, first: Option<(&str, &str)>, arguments: &str) -> Chunk {
    let (id, name) = first.map(|(id, name)| (id.to_owned(), name.to_owned())).unzip();
    Chunk::ToolCall(ToolCallDelta { index, id, name, arguments: arguments.to_owned(), opaque: None })
}

fn usage(output_tokens: u64) -> Chunk {
    Chunk::Usage(Usage {
        input_tokens: 48,
        cached_input_tokens: 40,
        cache_write_tokens: 5,
        output_tokens,
        reasoning_tokens: 0,
    })
}

fn whole_chunks() -> Vec<Chunk> {
    let at = json!({ "calls": 0, "text": 0 });
    let said = |text: &str| Chunk::Text(text.to_owned());
    let block = json!({ "signature": "c2ln", "thinking": "Hmm.", "type": "thinking" });
    let told = |text: &str| Chunk::ThinkingDelta(text.to_owned());
    vec![
        usage(1),
        told("Hm"),
        told("m."),
        thought(Some("Hmm."), json!({ "anthropic": block, "at": at })),
        thought(None, json!({ "anthropic": { "data": "AAAA", "type": "redacted_thinking" }, "at": at })),
        said("Grüß "),
        said("dich 👋"),
        call(0, Some(("toolu_1", "look")), ""),
        call(1, Some(("toolu_2", "ask")), ""),
        call(0, None, "{\"at\":\"Zür"),
        call(1, None, "{}"),
        call(0, None, "ich\"}"),
        usage(30),
        Chunk::Stop(StopReason::ToolUse),
    ]
}

/// As JSON, in which the order of names counts for nothing.
fn comparable(chunks: Vec<Chunk>) -> Vec<(Value, Chunk)> {
    let plain = |chunk| match chunk {
        Chunk::Thinking(Thinking { text, opaque }) => {
            (serde_json::from_slice(&opaque).unwrap(), Chunk::Thinking(Thinking { text, opaque: Vec::new() }))
        }
        other => (Value::Null, other),
    };
    chunks.into_iter().map(plain).collect()
}

#[test]
fn texts_thoughts_and_parallel_calls_come_as_they_are_streamed() {
    let (chunks, failure) = streamed(&whole());
    assert_eq!((comparable(chunks), failure), (comparable(whole_chunks()), None));
}

#[test]
fn it_is_all_the_same_where_the_stream_is_cut_into_pieces() {
    let (body, expected) = (whole(), streamed(&whole()));
    let given = |pieces: &[&[u8]]| Host::new().response_in_pieces("POST", MESSAGES, 200, pieces);
    for place in 0..=body.len() {
        let (before, after) = body.as_bytes().split_at(place);
        assert_eq!(completed(&mut given(&[before, after]), request()), expected, "{place}");
    }
    let single: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
    assert_eq!(completed(&mut given(&single), request()), expected);
}

#[test]
fn a_stream_that_breaks_off_anywhere_is_no_answer() {
    let (body, (chunks, _)) = (whole(), streamed(&whole()));
    for place in 0..body.len() {
        let mut cut = Host::new().response("POST", MESSAGES, 200, &body.as_bytes()[..place]);
        let (got, failure) = completed(&mut cut, request());
        // Behind the reason why the model stopped, nothing is missing.
        if failure.is_none() {
            assert_eq!(got, chunks, "{place}");
            continue;
        }
        assert!(matches!(failure, Some(Error::Transport(_))), "{place}: {failure:?}");
        assert!(chunks.starts_with(&got) && got.len() < chunks.len(), "{place}");
    }
}

#[test]
fn the_stop_reason_is_the_service_s() {
    for (reason, stop) in [
        ("end_turn", StopReason::EndTurn),
        ("stop_sequence", StopReason::EndTurn),
        ("max_tokens", StopReason::MaxTokens),
        ("model_context_window_exceeded", StopReason::MaxTokens),
        ("refusal", StopReason::Refusal),
        ("pause_turn", StopReason::Other("pause_turn".to_owned())),
    ] {
        let (chunks, failure) = streamed(&events(&finish(reason)));
        assert_eq!((chunks.last(), failure), (Some(&Chunk::Stop(stop)), None));
    }
    let (_, failure) = streamed(&events(&[start(), json!({ "type": "message_stop" })]));
    assert!(matches!(failure, Some(Error::Transport(_))));
}

#[test]
fn a_call_may_stand_whole_at_its_beginning() {
    let block = json!({ "type": "tool_use", "id": "", "name": "look", "input": { "at": 1 } });
    let [delta, stop] = finish("tool_use");
    let (chunks, _) = streamed(&events(&[begin(0, block), end(0), delta, stop]));
    let first = Chunk::ToolCall(ToolCallDelta {
        index: 0,
        id: None,
        name: Some("look".to_owned()),
        arguments: String::new(),
        opaque: None,
    });
    assert_eq!(chunks[..2], [first, call(0, None, r#"{"at":1}"#)]);
}

#[test]
fn what_makes_no_sense_is_an_error() {
    for data in ["{", "7", r#"{"type":7}"#, r#"{"type":"content_block_delta","index":-1}"#, "<html>"] {
        let (chunks, failure) = streamed(&format!("data: {data}\n\n"));
        assert!(matches!(failure, Some(Error::Transport(_))), "{data}: {failure:?}");
        assert!(chunks.is_empty());
    }
    let [stop, last] = finish("end_turn");
    let odd = [
        json!({ "type": "message_start", "message": null }),
        json!({ "type": "content_block_start", "index": 0, "content_block": null }),
        json!({ "type": "content_block_delta", "index": 9, "delta": { "type": "input_json_delta", "partial_json": "x" } }),
        json!({ "type": "content_block_stop", "index": 7 }),
        json!({ "type": "message_delta", "delta": null, "usage": { "output_tokens": "many" } }),
        stop,
        last,
    ];
    let (chunks, failure) = streamed(&events(&odd));
    assert_eq!((chunks.last(), failure), (Some(&Chunk::Stop(StopReason::EndTurn)), None));
    let endless: Vec<Value> = (0..1000).map(|index| begin(index, json!({ "type": "thinking" }))).collect();
    assert!(matches!(streamed(&events(&endless)), (_, Some(Error::Transport(_)))));
}

#[test]
fn a_broken_byte_does_no_harm() {
    let body = whole();
    for (place, byte) in (0..body.len()).flat_map(|place| b"\0\"{}[,:0\n\xff".map(|byte| (place, byte))) {
        let mut broken = body.clone().into_bytes();
        broken[place] = byte;
        let (chunks, failure) = completed(&mut Host::new().response("POST", MESSAGES, 200, broken), request());
        let has_stopped = matches!(chunks.last(), Some(Chunk::Stop(_)));
        assert_ne!(has_stopped, failure.is_some(), "{place} {byte}: {failure:?}");
    }
}

#[test]
fn a_whole_message_in_place_of_a_stream_is_the_answer() {
    let message = json!({
        "type": "message",
        "content": [
            { "type": "text", "text": "Hi" },
            { "type": "tool_use", "id": "a", "name": "look", "input": { "x": 1 } },
        ],
        "stop_reason": "tool_use",
        "usage": { "input_tokens": 3, "output_tokens": 2 },
    });
    let (chunks, failure) = streamed(&format!("{message:#}"));
    assert_eq!((failure, chunks.first()), (None, Some(&Chunk::Text("Hi".to_owned()))));
    assert_eq!(chunks.last(), Some(&Chunk::Stop(StopReason::ToolUse)));
    let arguments: String = chunks
        .iter()
        .filter_map(|chunk| match chunk {
            Chunk::ToolCall(delta) => Some(&*delta.arguments),
            _ => None,
        })
        .collect();
    assert_eq!(arguments, r#"{"x":1}"#);
}
