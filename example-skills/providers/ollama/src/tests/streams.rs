//! What comes of streams and of errors.

use moxxy_sdk::provider::{Retry, StopReason, Thinking, ToolCallDelta, Usage};
use serde_json::json;

use super::*;

fn streamed(body: &str) -> (Vec<Chunk>, Option<Error>) {
    completed(&mut Host::new().response("POST", CHAT, 200, body), request())
}

fn lines(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn piece(message: Value) -> Value {
    json!({ "model": "qwen3:8b", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": false })
}

fn done(reason: &str) -> Value {
    json!({
        "model": "qwen3:8b", "message": { "role": "assistant", "content": "" }, "done": true, "done_reason": reason,
        "total_duration": 7, "prompt_eval_count": 26, "eval_count": 12,
    })
}

fn whole() -> String {
    let call = |name: &str, arguments: Value| json!({ "function": { "name": name, "arguments": arguments } });
    lines(&[
        piece(json!({ "role": "assistant", "content": "", "thinking": "Hm" })),
        piece(json!({ "role": "assistant", "content": "", "thinking": "m." })),
        piece(json!({ "role": "assistant", "content": "Grüß " })),
        piece(json!({ "role": "assistant", "content": "dich 👋", "odd": { "x": 1 } })),
        piece(
            json!({ "content": "", "tool_calls": [call("look", json!({ "at": "Zürich" })), call("ask", json!({}))] }),
        ),
        piece(json!({ "content": "", "tool_calls": [{ "id": "call_3", "function": { "index": 2, "name": "ask" } }] })),
        done("stop"),
    ])
}

fn call(index: u32, id: Option<&str>, name: &str, arguments: &str) -> Chunk {
    let (id, name) = (id.map(str::to_owned), Some(name.to_owned()));
    Chunk::ToolCall(ToolCallDelta { index, id, name, arguments: arguments.to_owned(), opaque: None })
}

fn usage() -> Chunk {
    Chunk::Usage(Usage {
        input_tokens: 26,
        cached_input_tokens: 0,
        cache_write_tokens: 0,
        output_tokens: 12,
        reasoning_tokens: 0,
    })
}

fn whole_chunks() -> Vec<Chunk> {
    vec![
        Chunk::ThinkingDelta("Hm".to_owned()),
        Chunk::ThinkingDelta("m.".to_owned()),
        Chunk::Thinking(Thinking { text: Some("Hmm.".to_owned()), opaque: b"ollama".to_vec() }),
        Chunk::Text("Grüß ".to_owned()),
        Chunk::Text("dich 👋".to_owned()),
        call(0, None, "look", r#"{"at":"Zürich"}"#),
        call(1, None, "ask", "{}"),
        call(2, Some("call_3"), "ask", "{}"),
        usage(),
        Chunk::Stop(StopReason::ToolUse),
    ]
}

#[test]
fn texts_thoughts_and_calls_come_as_they_are_streamed() {
    assert_eq!(streamed(&whole()), (whole_chunks(), None));
    assert_eq!(streamed(&whole().replace('\n', "\r\n\r\n")), (whole_chunks(), None));
    assert_eq!(streamed(whole().trim_end()), (whole_chunks(), None), "the last line need not end");
}

#[test]
fn it_is_all_the_same_where_the_stream_is_cut_into_pieces() {
    let body = whole();
    let given = |pieces: &[&[u8]]| Host::new().response_in_pieces("POST", CHAT, 200, pieces);
    for place in 0..=body.len() {
        let (before, after) = body.as_bytes().split_at(place);
        assert_eq!(completed(&mut given(&[before, after]), request()), (whole_chunks(), None), "{place}");
    }
    let single: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
    assert_eq!(completed(&mut given(&single), request()), (whole_chunks(), None));
}

#[test]
fn a_stream_that_breaks_off_anywhere_is_no_answer() {
    let (body, chunks) = (whole(), whole_chunks());
    for place in 0..body.len() - 1 {
        let mut cut = Host::new().response("POST", CHAT, 200, &body.as_bytes()[..place]);
        let (got, failure) = completed(&mut cut, request());
        assert!(matches!(failure, Some(Error::Transport(_))), "{place}: {failure:?}");
        assert!(chunks.starts_with(&got) && got.len() < chunks.len(), "{place}");
    }
}

#[test]
fn the_stop_reason_is_the_server_s() {
    let stop = |line: Value| streamed(&lines(&[line])).0.pop();
    assert_eq!(stop(done("stop")), Some(Chunk::Stop(StopReason::EndTurn)));
    assert_eq!(stop(done("length")), Some(Chunk::Stop(StopReason::MaxTokens)));
    assert_eq!(stop(done("load")), Some(Chunk::Stop(StopReason::Other("load".to_owned()))));
    assert_eq!(streamed("{\"done\":true}\n"), (vec![Chunk::Stop(StopReason::EndTurn)], None));
}

#[test]
fn what_makes_no_sense_is_an_error() {
    for line in ["{", "7", "<html>", r#"{"message":"x"}"#] {
        let (chunks, failure) = streamed(&format!("{line}\n{}\n", done("stop")));
        assert!(matches!(failure, Some(Error::Transport(_))), "{line}: {failure:?}");
        assert!(chunks.is_empty());
    }
    let odd = json!({ "message": null, "done": null, "error": null, "eval_count": -1 });
    assert_eq!(streamed(&lines(&[odd, done("stop")])).1, None);
    let many = piece(json!({ "tool_calls": vec![json!({ "function": { "name": "ask" } }); 300] }));
    assert!(matches!(streamed(&lines(&[many])), (_, Some(Error::Transport(_)))));
}

#[test]
fn every_error_has_its_kind() {
    let refused = |status: u16, headers: &[(&str, &str)], message: &str| {
        let body = json!({ "error": message }).to_string();
        completed(&mut Host::new().response_with("POST", CHAT, status, headers, body), request()).1.unwrap()
    };
    let told = || "Told.".to_owned();
    let retry = |retry_after| Retry { message: told(), retry_after };
    assert_eq!(refused(401, &[], "Told."), Error::Authentication(told()));
    assert_eq!(refused(429, &[("retry-after", "3")], "Told."), Error::RateLimited(retry(Some(3000))));
    assert_eq!(refused(503, &[], "Told."), Error::Overloaded(retry(None)));
    assert_eq!(refused(500, &[], "Told."), Error::Overloaded(retry(None)));
    assert_eq!(refused(404, &[], "Told."), Error::InvalidRequest(told()));
    assert_eq!(refused(400, &[], "Told."), Error::InvalidRequest(told()));
    let long = refused(400, &[], "the input length exceeds the context length");
    assert!(matches!(long, Error::ContextTooLong(_)));
    let large = refused(500, &[], "model requires more system memory (9 GiB) than is available");
    assert!(matches!(large, Error::Other(_)));
    let midst = lines(&[piece(json!({ "content": "Hel" })), json!({ "error": "Told." })]);
    assert_eq!(streamed(&midst), (vec![Chunk::Text("Hel".to_owned())], Some(Error::Overloaded(retry(None)))));
}

#[test]
fn a_broken_byte_does_no_harm() {
    let body = whole();
    for (place, byte) in (0..body.len()).flat_map(|place| b"\0\"{}[,:0\n\xff".map(|byte| (place, byte))) {
        let mut broken = body.clone().into_bytes();
        broken[place] = byte;
        let (chunks, failure) = completed(&mut Host::new().response("POST", CHAT, 200, broken), request());
        let has_stopped = matches!(chunks.last(), Some(Chunk::Stop(_)));
        assert_ne!(has_stopped, failure.is_some(), "{place} {byte}: {failure:?}");
    }
}
