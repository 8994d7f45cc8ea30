//! Errors of every kind, before and within a stream.

use moxxy_sdk::provider::{Retry, ToolDefinition};
use serde_json::json;

use super::*;

fn refused(status: u16, headers: &[(&str, &str)], body: &str) -> Error {
    let mut host = Host::new().secret("key", "sk-t0ps3cret").response_with("POST", CHAT, status, headers, body);
    completed(&mut host, request()).1.unwrap()
}

fn error(code: &str, message: &str) -> String {
    json!({ "error": { "message": message, "type": "some_error", "param": null, "code": code } }).to_string()
}

#[test]
fn every_answer_has_its_kind() {
    let told = || "Told.".to_owned();
    let retry = |retry_after| Retry { message: told(), retry_after };
    let wait = [("retry-after", "1.5")];
    let soon = [("retry-after-ms", "20"), ("retry-after", "1")];
    type Case<'a> = (u16, &'a [(&'a str, &'a str)], &'a str, Error);
    let cases: [Case<'_>; 13] = [
        (401, &[], "invalid_api_key", Error::Authentication(told())),
        (403, &[], "", Error::Authentication(told())),
        (429, &wait, "rate_limit_exceeded", Error::RateLimited(retry(Some(1500)))),
        (429, &soon, "rate_limit_exceeded", Error::RateLimited(retry(Some(20)))),
        (429, &[], "insufficient_quota", Error::Other(told())),
        (402, &[], "", Error::Other(told())),
        (500, &[], "server_error", Error::Overloaded(retry(None))),
        (503, &wait, "", Error::Overloaded(retry(Some(1500)))),
        (400, &[], "context_length_exceeded", Error::context_too_long(told(), None)),
        (413, &[], "", Error::context_too_long(told(), None)),
        (400, &[], "content_filter", Error::Refused(told())),
        (400, &[], "invalid_value", Error::InvalidRequest(told())),
        (404, &[], "model_not_found", Error::InvalidRequest(told())),
    ];
    for (status, headers, code, expected) in cases {
        assert_eq!(refused(status, headers, &error(code, "Told.")), expected, "{status} {code}");
    }
}

#[test]
fn words_count_where_codes_say_nothing() {
    let vllm = r#"{"object":"error","message":"This model's maximum context length is 4096 tokens.","code":400}"#;
    assert!(matches!(refused(400, &[], vllm), Error::ContextTooLong(exceeded) if exceeded.message.contains("4096")));
    let llama = r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}"#;
    assert!(matches!(refused(400, &[], llama), Error::ContextTooLong(_)));
    let flagged = r#"{"error":{"code":403,"message":"Your input was flagged","metadata":{"reasons":["x"]}}}"#;
    assert!(matches!(refused(403, &[], flagged), Error::Refused(_)));
}

#[test]
fn a_refused_schema_is_sent_in_another_way() {
    let tool =
        ToolDefinition { name: "look".to_owned(), description: "Looks.".to_owned(), parameters: "{}".to_owned() };
    let adaptation = |adaptations: &[&str], tools: &[ToolDefinition], told: &str| {
        let request = Request {
            tools: tools.to_vec(),
            response_schema: Some("{}".to_owned()),
            adaptations: adaptations.iter().map(|&name| name.to_owned()).collect(),
            ..request()
        };
        let mut host = Host::new().response("POST", CHAT, 400, error("invalid_request_error", told));
        match completed(&mut host, request).1 {
            Some(Error::Unsupported(refused)) => Some(refused.adaptation),
            _ => None,
        }
    };
    for told in [
        "Function calling with a response mime type: 'application/json' is unsupported",
        "json mode cannot be combined with tool/function calling",
        "Cannot use custom grammar constraints with tools.",
    ] {
        assert_eq!(adaptation(&[], std::slice::from_ref(&tool), told).as_deref(), Some("json-without-tools"), "{told}");
        assert_eq!(adaptation(&["json-without-tools"], std::slice::from_ref(&tool), told), None, "{told}");
        assert_eq!(adaptation(&[], &[], told), None, "{told}");
    }
    let told = "Invalid schema for response_format 'answer': 'allOf' is not permitted.";
    assert_eq!(adaptation(&[], &[], told).as_deref(), Some("loose-schema"));
    assert_eq!(adaptation(&["loose-schema"], &[], told).as_deref(), Some("json-object"));
}

#[test]
fn an_error_is_told_in_a_sentence_without_keys() {
    let html = "<html><body>502 Bad Gateway</body></html>";
    let told = |message: &str| Error::Overloaded(Retry { message: message.to_owned(), retry_after: None });
    assert_eq!(refused(502, &[], html), told("the service answered 502"));
    assert_eq!(refused(502, &[], ""), told("the service answered 502"));
    assert_eq!(refused(502, &[], "no\u{7}\n upstream"), told("no upstream"));
    let key = error("invalid_api_key", "Incorrect API key provided: sk-t0p*****cret.");
    assert_eq!(refused(401, &[], &key), Error::Authentication("Incorrect API key provided: [key]".to_owned()));
    let Error::InvalidRequest(text) = refused(400, &[], &error("x", &"much ".repeat(100_000))) else { panic!() };
    assert!(text.len() <= 500);
}

#[test]
fn an_error_within_a_stream_has_its_kind_too() {
    let streamed = |event: &str| {
        let first = "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n";
        let mut host = Host::new().response("POST", CHAT, 200, format!("{first}{event}\n\ndata: [DONE]\n\n"));
        let (chunks, failure) = completed(&mut host, request());
        assert_eq!(chunks, [Chunk::Text("Hel".to_owned())]);
        failure.unwrap()
    };
    let openrouter = r#"data: {"error":{"code":429,"message":"Slow down"},"choices":[{"finish_reason":"error"}]}"#;
    assert!(matches!(streamed(openrouter), Error::RateLimited(retry) if retry.message == "Slow down"));
    let named = r#"data: {"error":{"type":"invalid_request_error","message":"No"}}"#;
    assert!(matches!(streamed(named), Error::InvalidRequest(_)));
    assert!(
        matches!(streamed("event: error\ndata: {\"message\":\"Oh\"}"), Error::Overloaded(retry) if retry.message == "Oh")
    );
    assert!(matches!(streamed(r#"data: {"error":"odd"}"#), Error::Overloaded(_)));
    let long = r#"data: {"error":{"code":"context_length_exceeded","message":"Too long"}}"#;
    assert!(matches!(streamed(long), Error::ContextTooLong(_)));
}

#[test]
fn an_answer_that_is_no_stream_is_none() {
    let whole = |body: &str| refused(200, &[("Content-Type", "application/json; charset=utf-8")], body);
    assert!(matches!(whole(r#"{"choices":[]}"#), Error::Transport(_)));
    assert!(matches!(whole(r#"{"error":{"code":401,"message":"No"}}"#), Error::Authentication(_)));
    assert!(matches!(refused(200, &[], ""), Error::Transport(_)));
}

#[test]
fn without_a_key_the_operator_is_told_what_grants_one() {
    let mut host = Host::new().response("POST", CHAT, 401, error("", "You need a key."));
    let Some(Error::Authentication(text)) = completed(&mut host, request()).1 else { panic!() };
    assert!(text.starts_with("You need a key.") && text.contains("no grant lets"), "{text}");
    assert_eq!(host.requests()[0].sent_header("Authorization"), None);
}

#[test]
fn a_request_that_the_operator_does_not_allow_is_not_tried_again() {
    assert!(matches!(completed(&mut Host::new(), request()).1, Some(Error::Other(_))));
}
