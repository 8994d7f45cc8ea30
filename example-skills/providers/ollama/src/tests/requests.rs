//! What is sent, and the models that are listed.

use moxxy_sdk::{
    provider::{Image, Model, ModelOptions, Price, Thinking, ToolCall, ToolDefinition, ToolResult},
    testing::placeholder,
};
use serde_json::json;

use super::*;

fn asked(request: Request, options: Value) -> Host {
    let host = Host::new().secret("key", "k3yk3yk3y").response("POST", CHAT, 200, "{\"done\":true}\n");
    let options = options.as_object().unwrap().clone();
    let mut host = options.into_iter().fold(host, |host, (key, value)| host.config(key, value));
    assert_eq!(completed(&mut host, request).1, None);
    host
}

fn body(request: Request, options: Value) -> Value {
    serde_json::from_slice(asked(request, options).requests()[0].sent_body()).unwrap()
}

fn tool() -> ToolDefinition {
    let parameters = r#"{"type":"object","properties":{"z":{},"a":{}}}"#.to_owned();
    ToolDefinition { name: "look".to_owned(), description: "Looks.".to_owned(), parameters }
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    Part::ToolCall(ToolCall::new(id, name, arguments))
}

fn result(id: &str, content: &str) -> Part {
    Part::ToolResult(ToolResult { call_id: id.to_owned(), content: content.to_owned(), is_error: false })
}

#[test]
fn a_conversation_is_sent_whole() {
    let image = Part::Image(Image { media_type: "image/png".to_owned(), data: vec![1, 2, 3] });
    let thought = |opaque: &[u8]| Part::Thinking(Thinking { text: Some("Hm.".to_owned()), opaque: opaque.to_vec() });
    let called = vec![
        thought(b"ollama"),
        thought(b"{}"),
        text("I look."),
        call("1", "look", "{\"at\": 1}"),
        call("2", "ask", "{"),
    ];
    let messages = vec![
        message(Role::User, vec![text("What is this?"), image]),
        message(Role::Assistant, called),
        message(Role::Tool, vec![result("2", "bad JSON"), result("1", "a cat")]),
    ];
    let request = Request {
        system: Some("Be brief.".to_owned()),
        messages,
        tools: vec![tool()],
        options: ModelOptions { temperature: Some(0.5), ..ModelOptions::none() },
        max_output_tokens: Some(100),
        response_schema: Some(r#"{"type":"object"}"#.to_owned()),
        ..Request::new("qwen3:8b")
    };
    let options =
        json!({ "think": true, "num_ctx": 8192, "keep_alive": "10m", "options": { "seed": 7, "num_predict": 1 } });
    let function = |name: &str, arguments: Value| json!({ "function": { "name": name, "arguments": arguments } });
    let schema = json!({ "type": "object", "properties": { "z": {}, "a": {} } });
    let expected = json!({
        "model": "qwen3:8b",
        "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": "What is this?", "images": ["AQID"] },
            { "role": "assistant", "content": "I look.", "thinking": "Hm.", "tool_calls": [
                function("look", json!({ "at": 1 })), function("ask", json!({ "malformed": "{" })),
            ] },
            { "role": "tool", "content": "bad JSON", "tool_name": "ask" },
            { "role": "tool", "content": "a cat", "tool_name": "look" },
        ],
        "tools": [{ "type": "function", "function": { "name": "look", "description": "Looks.", "parameters": schema } }],
        "stream": true,
        "truncate": false,
        "think": true,
        "keep_alive": "10m",
        "options": { "seed": 7, "num_ctx": 8192, "num_predict": 100, "temperature": 0.5 },
    });
    assert_eq!(body(request, options), expected);
}

#[test]
fn what_is_not_configured_is_not_sent() {
    let said = json!([{ "role": "user", "content": "Hello" }]);
    let expected = json!({ "model": "qwen3:8b", "messages": said, "stream": true, "truncate": false });
    assert_eq!(body(request(), json!({})), expected);
    assert_eq!(body(request(), json!({ "think": "high" }))["think"], "high");
    assert_eq!(body(request(), json!({ "think": false }))["think"], false);
}

#[test]
fn an_answer_is_held_to_a_schema_unless_tools_may_be_called() {
    let request = || Request { response_schema: Some(r#"{"type":"object"}"#.to_owned()), ..request() };
    assert_eq!(body(request(), json!({}))["format"], json!({ "type": "object" }));
    assert_eq!(body(Request { tools: vec![tool()], ..request() }, json!({})).get("format"), None);
}

#[test]
fn a_key_is_sent_if_the_server_wants_one() {
    let header = |options| asked(request(), options).requests()[0].sent_header("authorization").map(str::to_owned);
    assert_eq!(header(json!({})), None);
    assert_eq!(header(json!({ "auth": "bearer" })), Some(format!("Bearer {}", placeholder("key"))));
}

#[test]
fn equal_requests_have_equal_bytes() {
    let request = || Request { tools: vec![tool()], ..request() };
    let sent = || String::from_utf8(asked(request(), json!({})).requests()[0].sent_body().to_vec()).unwrap();
    assert_eq!(sent(), sent());
    assert!(sent().contains(&tool().parameters));
}

#[test]
fn every_option_is_described_and_an_unknown_one_is_named() {
    let schema: Value = serde_json::from_str(&Ollama::manifest().config_schema.unwrap()).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    for (name, property) in schema["properties"].as_object().unwrap() {
        assert!(property["description"].is_string(), "{name} says what it is");
    }
    for (key, value) in [("num_ctxt", json!(1)), ("think", json!("hard"))] {
        let Some(Error::InvalidRequest(told)) = completed(&mut Host::new().config(key, value), request()).1 else {
            panic!()
        };
        assert!(told.contains(key), "{told}");
    }
}

/// A server with four models, which shows each in turn.
fn server() -> Host {
    let tags = json!({ "models": [
        { "name": "qwen3:8b", "model": "qwen3:8b", "size": 5, "details": { "family": "qwen3" } },
        { "name": "nomic-embed-text", "details": {} },
        { "name": "gpt-oss:120b-cloud", "remote_host": "https://ollama.com:443" },
        { "name": "broken" },
    ] });
    let info = |family: &str, window: u32| json!({ "general.architecture": family, format!("{family}.context_length"): window, "general.parameter_count": 8 });
    let shown = [
        json!({ "model_info": info("qwen3", 40_960), "parameters": "stop \"<|im_end|>\"\nnum_ctx    16384", "capabilities": ["completion", "tools"] }),
        json!({ "model_info": info("nomic", 2048), "capabilities": ["embedding"] }),
        json!({ "model_info": info("gptoss", 131_072), "capabilities": ["completion"] }),
    ];
    let host = Host::new().response("GET", "http://127.0.0.1:11434/api/tags", 200, tags.to_string());
    let show = "http://127.0.0.1:11434/api/show";
    let host = shown.into_iter().fold(host, |host, shown| host.response("POST", show, 200, shown.to_string()));
    host.response("POST", show, 500, "{")
}

#[test]
fn models_are_listed_with_what_they_take() {
    let free = Some(Price { input: 0.0, cached_input: None, cache_write: None, output: 0.0 });
    let model = |id: &str, context_window, price| Model { context_window, price, ..Model::new(id) };
    let expected = [
        model("qwen3:8b", Some(16_384), free),
        model("gpt-oss:120b-cloud", Some(131_072), None),
        model("broken", None, free),
    ];
    assert_eq!(server().run(Ollama::models).unwrap(), expected);
    let models = server().config("num_ctx", 100_000).run(Ollama::models).unwrap();
    assert_eq!(
        models.iter().map(|model| model.context_window).collect::<Vec<_>>(),
        [Some(40_960), Some(100_000), Some(100_000)]
    );
    assert!(matches!(Host::new().run(Ollama::models), Err(Error::Other(_))));
}
