//! What comes of streams, as several services write them.

use moxxy_sdk::provider::{StopReason, Thinking, ToolCallDelta, Usage};

use super::*;

fn streamed(body: &str) -> (Vec<Chunk>, Option<Error>) {
    completed(&mut Host::new().response("POST", CHAT, 200, body), request())
}

/// A body of these pieces of JSON, with the end that a stream has.
fn events(pieces: &[&str]) -> String {
    pieces.iter().chain(&["[DONE]"]).map(|piece| format!("data: {piece}\n\n")).collect()
}

fn delta(delta: &str) -> String {
    format!(r#"{{"id":"c1","object":"chat.completion.chunk","choices":[{{"index":0,"delta":{delta}}}]}}"#)
}

fn finish(reason: &str) -> String {
    format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"{reason}"}}]}}"#)
}

fn said(text: &str) -> Chunk {
    Chunk::Text(text.to_owned())
}

fn call(index: u32, id: Option<&str>, name: Option<&str>, arguments: &str) -> Chunk {
    let (id, name) = (id.map(str::to_owned), name.map(str::to_owned));
    Chunk::ToolCall(ToolCallDelta { index, id, name, arguments: arguments.to_owned(), opaque: None })
}

fn whole() -> String {
    events(&[
        &delta(r#"{"role":"assistant","content":""}"#),
        &delta(r#"{"content":"Grüß "}"#),
        &delta(r#"{"content":"dich 👋","odd":{"x":[1]}}"#),
        &delta(r#"{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"look","arguments":""}}]}"#),
        &delta(r#"{"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"ask","arguments":"{"}}]}"#),
        &delta(r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"at\":\"Zür"}}]}"#),
        &delta(
            r#"{"tool_calls":[{"index":1,"function":{"arguments":"}"}},{"index":0,"function":{"arguments":"ich\"}"}}]}"#,
        ),
        &finish("tool_calls"),
        r#"{"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":9,"total_tokens":29,
            "prompt_tokens_details":{"cached_tokens":16},"completion_tokens_details":{"reasoning_tokens":4}}}"#
            .replace('\n', " ")
            .as_str(),
    ])
}

fn whole_chunks() -> Vec<Chunk> {
    vec![
        said("Grüß "),
        said("dich 👋"),
        call(0, Some("a"), Some("look"), ""),
        call(1, Some("b"), Some("ask"), "{"),
        call(0, None, None, "{\"at\":\"Zür"),
        call(1, None, None, "}"),
        call(0, None, None, "ich\"}"),
        Chunk::Usage(Usage {
            input_tokens: 20,
            cached_input_tokens: 16,
            cache_write_tokens: 0,
            output_tokens: 9,
            reasoning_tokens: 4,
        }),
        Chunk::Stop(StopReason::ToolUse),
    ]
}

#[test]
fn texts_and_parallel_calls_come_as_they_are_streamed() {
    assert_eq!(streamed(&whole()), (whole_chunks(), None));
    assert_eq!(streamed(&whole().replace('\n', "\r\n")), (whole_chunks(), None));
    assert_eq!(streamed(&whole().replace("\n\n", "\n\n: ping\n\n")), (whole_chunks(), None));
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
    for place in 0..body.len() {
        let cut = Host::new().response("POST", CHAT, 200, &body.as_bytes()[..place]);
        let (got, failure) = completed(&mut { cut }, request());
        let is_whole = |got: &[Chunk]| matches!(got.last(), Some(Chunk::Stop(_)));
        // Behind the reason why the model stopped, only the usage may be missing.
        if failure.is_none() && is_whole(&got) {
            let without_usage = |chunks: &[Chunk]| -> Vec<Chunk> {
                chunks.iter().filter(|chunk| !matches!(chunk, Chunk::Usage(_))).cloned().collect()
            };
            assert_eq!(without_usage(&got), without_usage(&chunks), "{place}");
            continue;
        }
        assert!(matches!(failure, Some(Error::Transport(_))), "{place}: {failure:?}");
        assert!(chunks.starts_with(&got) && got.len() < chunks.len(), "{place}");
    }
}

#[test]
fn calls_are_told_apart_however_the_service_numbers_them() {
    let one = r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"look","arguments":"{}"}}]}"#;
    let two = r#"{"tool_calls":[{"index":0,"id":"b","function":{"name":"look","arguments":"{}"}}]}"#;
    let both = [call(0, Some("a"), Some("look"), "{}"), call(1, Some("b"), Some("look"), "{}")];
    let stop = Chunk::Stop(StopReason::ToolUse);
    let (chunks, _) = streamed(&events(&[&delta(one), &delta(two), &finish("stop")]));
    assert_eq!(chunks, [&both[..], std::slice::from_ref(&stop)].concat(), "all have the number 0");
    let without = |text: &str| delta(&text.replace("\"index\":0,", ""));
    let (chunks, _) = streamed(&events(&[&without(one), &without(two), &finish("tool_calls")]));
    assert_eq!(chunks, [&both[..], std::slice::from_ref(&stop)].concat(), "none has a number");
    let (chunks, _) = streamed(&events(&[&delta(one), &delta(one), &finish("tool_calls")]));
    let repeated = [call(0, Some("a"), Some("look"), "{}"), call(0, None, None, "{}"), stop.clone()];
    assert_eq!(chunks, repeated, "id and name are repeated");
    let nothing = r#"{"tool_calls":[{"function":{"name":"look","arguments":{"at":1}}},{"function":{"name":"look"}}]}"#;
    let (chunks, _) = streamed(&events(&[&delta(nothing), &finish("stop")]));
    let made = [call(0, None, Some("look"), r#"{"at":1}"#), call(1, None, Some("look"), ""), stop];
    assert_eq!(chunks, made, "there is no id, and the arguments are an object");
}

#[test]
fn a_call_begins_with_its_name() {
    let early = delta(r#"{"tool_calls":[{"index":0,"id":"a","function":{"arguments":"{"}}]}"#);
    let late = delta(r#"{"tool_calls":[{"index":0,"function":{"name":"look","arguments":"}"}}]}"#);
    let (chunks, _) = streamed(&events(&[&early, &late, &finish("tool_calls")]));
    assert_eq!(chunks, [call(0, Some("a"), Some("look"), "{}"), Chunk::Stop(StopReason::ToolUse)]);
    let (_, failure) = streamed(&events(&[&early, &finish("tool_calls")]));
    assert!(matches!(failure, Some(Error::Transport(_))));
}

#[test]
fn the_stop_reason_is_the_service_s() {
    for (reason, stop) in [
        ("stop", StopReason::EndTurn),
        ("length", StopReason::MaxTokens),
        ("tool_calls", StopReason::ToolUse),
        ("content_filter", StopReason::Refusal),
        ("odd", StopReason::Other("odd".to_owned())),
    ] {
        assert_eq!(streamed(&events(&[&finish(reason)])), (vec![Chunk::Stop(stop)], None));
    }
    assert!(matches!(streamed(&events(&[])), (_, Some(Error::Transport(_)))));
    assert!(matches!(streamed(&events(&[&finish("error")])), (_, Some(Error::Transport(_)))));
    let busy = streamed(&events(&[&finish("insufficient_system_resource")]));
    assert!(matches!(busy, (_, Some(Error::Overloaded(_)))));
}

#[test]
fn a_refusal_is_told_as_one() {
    let refusal = events(&[&delta(r#"{"refusal":"I can't "}"#), &delta(r#"{"refusal":"do that."}"#), &finish("stop")]);
    let stop = Chunk::Stop(StopReason::Refusal);
    assert_eq!(streamed(&refusal), (vec![said("I can't "), said("do that."), stop], None));
}

#[test]
fn thoughts_are_told_and_kept() {
    let thinking = |text: &str, opaque: &str| {
        Chunk::Thinking(Thinking { text: Some(text.to_owned()), opaque: opaque.as_bytes().to_vec() })
    };
    let told = |text: &str| Chunk::ThinkingDelta(text.to_owned());
    let stop = Chunk::Stop(StopReason::EndTurn);
    for field in ["reasoning_content", "reasoning"] {
        let piece = |text: &str| delta(&format!(r#"{{"content":null,"{field}":"{text}"}}"#));
        let (chunks, _) =
            streamed(&events(&[&piece("Hm"), &piece("m."), &delta(r#"{"content":"Yes"}"#), &finish("stop")]));
        let opaque = format!(r#"{{"openai":[],"field":["{field}","https://api.openai.com/v1"]}}"#);
        let expected = [told("Hm"), told("m."), thinking("Hmm.", &opaque), said("Yes"), stop.clone()];
        assert_eq!(chunks, expected, "{field}");
    }
    let mistral = delta(
        r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"Hm"}]},{"type":"text","text":"Yes"}]}"#,
    );
    let (chunks, _) = streamed(&events(&[&mistral, &finish("stop")]));
    assert_eq!(chunks, [told("Hm"), thinking("Hm", r#"{"openai":[]}"#), said("Yes"), stop]);
}

#[test]
fn details_of_thoughts_are_put_together() {
    let detail =
        |fields: &str| delta(&format!(r#"{{"reasoning_details":[{{"type":"reasoning.text","index":0,{fields}}}]}}"#));
    let sealed = delta(r#"{"reasoning_details":[{"type":"reasoning.encrypted","index":1,"id":"r1","data":"ab"}]}"#);
    let pieces = [detail(r#""text":"Hm""#), detail(r#""text":"m.""#), detail(r#""text":null,"signature":"s""#), sealed];
    let pieces: Vec<&str> =
        pieces.iter().map(String::as_str).chain([r#"{"choices":[{"finish_reason":"stop"}]}"#]).collect();
    let (chunks, failure) = streamed(&events(&pieces));
    assert_eq!(failure, None);
    let Some(Chunk::Thinking(thinking)) = chunks.iter().find(|chunk| matches!(chunk, Chunk::Thinking(_))) else {
        panic!("no thought: {chunks:?}");
    };
    assert_eq!(thinking.text.as_deref(), Some("Hmm."));
    let kept: Value = serde_json::from_slice(&thinking.opaque).unwrap();
    let text = serde_json::json!({ "type": "reasoning.text", "index": 0, "text": "Hmm.", "signature": "s" });
    let sealed = serde_json::json!({ "type": "reasoning.encrypted", "index": 1, "id": "r1", "data": "ab" });
    assert_eq!(kept["openai"], Value::Array(vec![text, sealed]));
}

#[test]
fn usage_adds_up_for_every_service() {
    let cost = |usage: &str| match &*streamed(&events(&[
        &format!(r#"{{"choices":[],"usage":{usage}}}"#),
        &finish("stop"),
    ]))
    .0
    {
        [Chunk::Usage(usage), _] => *usage,
        other => panic!("no usage: {other:?}"),
    };
    let usage = |input_tokens, cached_input_tokens, output_tokens, reasoning_tokens| Usage {
        input_tokens,
        cached_input_tokens,
        cache_write_tokens: 0,
        output_tokens,
        reasoning_tokens,
    };
    assert_eq!(cost(r#"{"prompt_tokens":5,"completion_tokens":3}"#), usage(5, 0, 3, 0));
    let deepseek =
        r#"{"prompt_tokens":5,"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":1,"completion_tokens":3}"#;
    assert_eq!(cost(deepseek), usage(5, 4, 3, 0));
    let xai = r#"{"prompt_tokens":5,"completion_tokens":3,"total_tokens":10,"completion_tokens_details":{"reasoning_tokens":2}}"#;
    assert_eq!(cost(xai), usage(5, 0, 5, 2));
    let odd = r#"{"prompt_tokens":-5,"completion_tokens":"3","prompt_tokens_details":null}"#;
    assert_eq!(cost(odd), usage(0, 0, 0, 0));
    let endless = r#"{"prompt_tokens":18446744073709551615,"completion_tokens":18446744073709551615,"completion_tokens_details":{"reasoning_tokens":9}}"#;
    assert_eq!(cost(endless), usage(u64::MAX, 0, u64::MAX, 9));
    let groq =
        events(&[r#"{"choices":[],"x_groq":{"usage":{"prompt_tokens":5,"completion_tokens":3}}}"#, &finish("stop")]);
    assert_eq!(streamed(&groq).0.first(), Some(&Chunk::Usage(usage(5, 0, 3, 0))));
}

#[test]
fn what_makes_no_sense_is_an_error() {
    for piece in ["{", "<html>", "[]x", r#"{"choices":7}"#, r#"{"choices":[{"delta":"x"}]}"#, "\u{0}"] {
        let (chunks, failure) = streamed(&events(&[piece]));
        assert!(matches!(failure, Some(Error::Transport(_))), "{piece}: {failure:?}");
        assert!(chunks.is_empty());
    }
    for piece in
        ["{}", r#"{"choices":null}"#, r#"{"choices":[{"index":1,"delta":{"content":"x"}}]}"#, r#"{"choices":[{}]}"#]
    {
        assert_eq!(
            streamed(&events(&[piece, &finish("stop")])),
            (vec![Chunk::Stop(StopReason::EndTurn)], None),
            "{piece}"
        );
    }
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
