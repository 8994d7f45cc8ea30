//! Errors of every kind, before and within a stream.

use moxxy_sdk::provider::Retry;
use serde_json::json;

use super::*;

fn body(kind: &str, message: &str) -> Value {
    json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": "req_1" })
}

fn refused(status: u16, headers: &[(&str, &str)], body: &str) -> Error {
    let mut host = Host::new().secret("key", "sk-ant-t0ps3cret").response_with("POST", MESSAGES, status, headers, body);
    completed(&mut host, request()).1.unwrap()
}

#[test]
fn every_answer_has_its_kind() {
    let retry = |message: &str, retry_after| Retry { message: message.to_owned(), retry_after };
    let wait = [("retry-after", "12")];
    type Case<'a> = (u16, &'a [(&'a str, &'a str)], &'a str, &'a str, fn(String) -> Error);
    let too_long: fn(String) -> Error = |message| Error::context_too_long(message, None);
    let cases: [Case<'_>; 10] = [
        (401, &[], "authentication_error", "invalid x-api-key", Error::Authentication),
        (403, &[], "permission_error", "Not yours.", Error::Authentication),
        (402, &[], "billing_error", "Pay.", Error::Other),
        (400, &[], "invalid_request_error", "Your credit balance is too low.", Error::Other),
        (400, &[], "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum", too_long),
        (400, &[], "invalid_request_error", "input length and `max_tokens` exceed context limit", too_long),
        (400, &[], "invalid_request_error", "Output blocked by content filtering policy", Error::Refused),
        (400, &[], "invalid_request_error", "messages: required", Error::InvalidRequest),
        (404, &[], "not_found_error", "model: x", Error::InvalidRequest),
        (413, &[], "request_too_large", "Too many bytes.", too_long),
    ];
    for (status, headers, kind, message, expected) in cases {
        let error = refused(status, headers, &body(kind, message).to_string());
        assert_eq!(error, expected(message.to_owned()), "{status} {kind}");
    }
    let limited = refused(429, &wait, &body("rate_limit_error", "Slow.").to_string());
    assert_eq!(limited, Error::RateLimited(retry("Slow.", Some(12_000))));
    for (status, kind) in [(529, "overloaded_error"), (500, "api_error"), (504, "timeout_error"), (502, "odd")] {
        let error = refused(status, &[], &body(kind, "Busy.").to_string());
        assert_eq!(error, Error::Overloaded(retry("Busy.", None)), "{status} {kind}");
    }
    let html = refused(529, &wait, "<html>");
    assert_eq!(html, Error::Overloaded(retry("the service answered 529", Some(12_000))));
}

#[test]
fn an_error_within_a_stream_has_its_kind_too() {
    let streamed = |kind: &str| {
        let begin =
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "Hel" } });
        let mut host = Host::new().response("POST", MESSAGES, 200, events(&[begin, body(kind, "Told.")]));
        let (chunks, failure) = completed(&mut host, request());
        assert_eq!(chunks, [Chunk::Text("Hel".to_owned())]);
        failure.unwrap()
    };
    assert!(matches!(streamed("overloaded_error"), Error::Overloaded(retry) if retry.message == "Told."));
    assert!(matches!(streamed("rate_limit_error"), Error::RateLimited(_)));
    assert!(matches!(streamed("invalid_request_error"), Error::InvalidRequest(_)));
    assert!(matches!(streamed("odd"), Error::Overloaded(_)));
}

#[test]
fn an_answer_that_is_no_stream_is_none() {
    let whole = |body: &str| refused(200, &[("Content-Type", "application/json")], body);
    assert!(matches!(whole(r#"{"type":"message","content":[]}"#), Error::Transport(_)));
    assert!(matches!(whole(&body("overloaded_error", "Busy.").to_string()), Error::Overloaded(_)));
}

#[test]
fn without_a_key_the_operator_is_told_what_grants_one() {
    let body = body("authentication_error", "x-api-key header is required").to_string();
    let mut host = Host::new().response("POST", MESSAGES, 401, body);
    let Some(Error::Authentication(text)) = completed(&mut host, request()).1 else { panic!() };
    assert!(text.contains("no grant lets"), "{text}");
}
