//! What is sent, to OpenAI and to others.

use moxxy_sdk::{
    provider::{Image, ModelOptions, Thinking, ToolCall, ToolDefinition, ToolResult},
    testing::placeholder,
};
use serde_json::json;

use super::*;

const DONE: &str = "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// What is sent for a request, to a service that is configured so.
fn body(request: Request, options: Value) -> Value {
    sent(&asked(request, options, CHAT))
}

fn asked(request: Request, options: Value, url: &str) -> Host {
    let options = options.as_object().unwrap().clone();
    let host =
        Host::new().secret("key", "sk-t0ps3cret").secret("azure_key", "4zur3k3y").response("POST", url, 200, DONE);
    let mut host = options.into_iter().fold(host, |host, (key, value)| host.config(key, value));
    assert_eq!(completed(&mut host, request).1, None);
    host
}

fn tool() -> ToolDefinition {
    let parameters = r#"{"type":"object","properties":{"z":{},"a":{}}}"#.to_owned();
    ToolDefinition { name: "look".to_owned(), description: "Looks.".to_owned(), parameters }
}

fn call(id: &str, arguments: &str) -> Part {
    Part::ToolCall(ToolCall::new(id, "look", arguments))
}

fn result(id: &str, content: &str) -> Part {
    Part::ToolResult(ToolResult { call_id: id.to_owned(), content: content.to_owned(), is_error: false })
}

#[test]
fn a_conversation_is_sent_whole() {
    let image = Part::Image(Image { media_type: "image/png".to_owned(), data: vec![1, 2, 3] });
    let messages = vec![
        message(Role::User, vec![text("What is this?"), image]),
        message(Role::Assistant, vec![text("I look."), call("1", "{\"at\": 1}"), call("2", "{broken")]),
        message(Role::Tool, vec![result("1", "a cat"), result("2", "bad JSON")]),
        message(Role::Assistant, vec![call("3", "")]),
        message(Role::Tool, vec![result("3", "a dog")]),
    ];
    let request = Request {
        system: Some("Be brief.".to_owned()),
        messages,
        tools: vec![tool()],
        options: ModelOptions { temperature: Some(0.5), ..ModelOptions::none() },
        max_output_tokens: Some(100),
        ..Request::new("gpt-5")
    };
    let function = |name: &str, arguments: &str| json!({ "name": name, "arguments": arguments });
    let called =
        |id: &str, arguments: &str| json!({ "id": id, "type": "function", "function": function("look", arguments) });
    let url = json!({ "url": "data:image/png;base64,AQID" });
    let expected = json!({
        "model": "gpt-5",
        "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": [
                { "type": "text", "text": "What is this?" }, { "type": "image_url", "image_url": url },
            ] },
            { "role": "assistant", "content": "I look.", "tool_calls": [
                called("1", "{\"at\": 1}"), called("2", "{\"malformed\":\"{broken\"}"),
            ] },
            { "role": "tool", "content": "a cat", "tool_call_id": "1" },
            { "role": "tool", "content": "bad JSON", "tool_call_id": "2" },
            { "role": "assistant", "content": null, "tool_calls": [called("3", "{}")] },
            { "role": "tool", "content": "a dog", "tool_call_id": "3" },
        ],
        "tools": [{ "type": "function", "function": {
            "name": "look", "description": "Looks.", "parameters": { "type": "object", "properties": { "z": {}, "a": {} } },
        } }],
        "temperature": 0.5,
        "max_completion_tokens": 100,
        "stream": true,
        "stream_options": { "include_usage": true },
    });
    assert_eq!(body(request, json!({})), expected);
}

#[test]
fn a_tool_s_schema_keeps_its_order_and_equal_requests_equal_bytes() {
    let request = || Request { tools: vec![tool()], ..request() };
    let sent = |request| asked(request, json!({}), CHAT).requests()[0].sent_body().to_vec();
    let body = String::from_utf8(sent(request())).unwrap();
    assert!(body.contains(&tool().parameters), "{body}");
    assert_eq!(sent(request()), body.into_bytes());
    let broken = ToolDefinition { parameters: "{".to_owned(), ..tool() };
    let failure = completed(&mut Host::new(), Request { tools: vec![broken], ..request() }).1;
    assert!(matches!(failure, Some(Error::InvalidRequest(_))));
}

#[test]
fn keys_stand_where_the_service_wants_them() {
    let host = asked(Request { idempotency_key: Some("once".to_owned()), ..request() }, json!({}), CHAT);
    let bearer = format!("Bearer {}", placeholder("key"));
    assert_eq!(host.requests()[0].sent_header("authorization"), Some(&*bearer));
    assert_eq!(host.requests()[0].sent_header("idempotency-key"), Some("once"));
    let host = asked(request(), json!({ "auth": "none" }), CHAT);
    assert_eq!(host.requests()[0].sent_header("authorization"), None);
    let azure = json!({
        "base_url": "https://ada.openai.azure.com/openai/", "path": "deployments/{model}/chat/completions",
        "query": { "api-version": "2024-10-21" }, "auth": "api-key",
    });
    let url = "https://ada.openai.azure.com/openai/deployments/gpt-5/chat/completions?api-version=2024-10-21";
    let host = asked(Request { max_output_tokens: Some(9), ..request() }, azure.clone(), url);
    assert_eq!(host.requests()[0].sent_header("api-key"), Some(&*placeholder("azure_key")));
    assert_eq!(host.requests()[0].sent_header("authorization"), None);
    assert_eq!(sent(&host)["max_completion_tokens"], 9);
    for model in ["../x", "a/b", "", ".."] {
        let mut host =
            azure.as_object().unwrap().iter().fold(Host::new(), |host, (key, value)| host.config(key, value.clone()));
        let failure = completed(&mut host, Request::new(model)).1;
        assert!(matches!(failure, Some(Error::InvalidRequest(_))), "{model}");
    }
}

#[test]
fn headers_are_added_and_none_carries_a_key() {
    let options = json!({ "organization": "org", "project": "proj", "headers": { "X-Title": "Moxxy" } });
    let host = asked(request(), options, CHAT);
    let header = |name| host.requests()[0].sent_header(name).unwrap();
    assert_eq!((header("openai-organization"), header("openai-project"), header("x-title")), ("org", "proj", "Moxxy"));
    let mut host = Host::new().config("headers", json!({ "authorization": "Bearer sk-t0ps3cret" }));
    let Some(Error::InvalidRequest(told)) = completed(&mut host, request()).1 else { panic!() };
    assert!(!told.contains("t0ps3cret"), "{told}");
}

#[test]
fn fields_are_replaced_added_and_left_out() {
    let options = json!({
        "body": { "top_p": 0.9, "temperature": null, "model": "other", "stream": false },
        "stream_usage": false, "max_tokens_field": "max_tokens", "system_role": "developer",
    });
    let request = Request {
        system: Some("Be brief.".to_owned()),
        options: ModelOptions { temperature: Some(1.0), ..ModelOptions::none() },
        max_output_tokens: Some(9),
        ..Request::new("gpt-5")
    };
    let said = json!([{ "role": "developer", "content": "Be brief." }]);
    let expected = json!({ "model": "gpt-5", "messages": said, "stream": true, "top_p": 0.9, "max_tokens": 9 });
    assert_eq!(body(request, options), expected);
    let local = json!({ "base_url": "http://127.0.0.1:8000/v1" });
    let host = asked(
        Request { max_output_tokens: Some(9), ..self::request() },
        local,
        "http://127.0.0.1:8000/v1/chat/completions",
    );
    assert_eq!(sent(&host)["max_tokens"], 9);
}

#[test]
fn an_answer_is_held_to_a_schema() {
    let closed = json!({ "type": "object", "additionalProperties": false });
    let request = |schema: &Value| Request { response_schema: Some(schema.to_string()), ..request() };
    let format = |json: &str| body(request(&closed), json!({ "json": json }));
    let held = |strict: bool, schema: &Value| json!({ "type": "json_schema", "json_schema": { "name": "answer", "strict": strict, "schema": schema } });
    assert_eq!(body(request(&closed), json!({}))["response_format"], held(true, &closed));
    assert_eq!(format("strict")["response_format"], held(true, &closed));
    assert_eq!(format("schema")["response_format"], held(false, &closed));
    let told = format("object");
    assert_eq!(told["response_format"], json!({ "type": "json_object" }));
    assert!(told["messages"][0]["content"].as_str().unwrap().contains(&closed.to_string()));
    // A schema that leaves something open is not kept to the letter, and any object is a form of its own.
    let open = json!({ "type": "object", "properties": { "a": {} } });
    assert_eq!(body(request(&open), json!({}))["response_format"], held(false, &open));
    let any = json!({ "type": "object" });
    assert_eq!(body(request(&any), json!({}))["response_format"], json!({ "type": "json_object" }));
    let adapted = |name: &str| Request { adaptations: vec![name.to_owned()], ..request(&closed) };
    assert_eq!(body(adapted("loose-schema"), json!({}))["response_format"], held(false, &closed));
    assert_eq!(body(adapted("no-response-format"), json!({})).get("response_format"), None);
    // Some services hold an answer to a schema only without tools.
    let with_tool = |request: Request| Request { tools: vec![tool()], ..request };
    assert_eq!(body(with_tool(request(&closed)), json!({}))["response_format"], held(true, &closed));
    for (request, options) in [
        (with_tool(adapted("json-without-tools")), json!({})),
        (with_tool(request(&closed)), json!({ "profile": "vllm" })),
    ] {
        assert_eq!(body(request, options).get("response_format"), None);
    }
}

#[test]
fn thoughts_go_back_as_the_service_wants_them() {
    let thought = |text: &str, opaque: &str| {
        Part::Thinking(Thinking { text: Some(text.to_owned()), opaque: opaque.as_bytes().to_vec() })
    };
    let request = |thoughts: Vec<Part>| {
        let said = [thoughts, vec![call("1", "{}")]].concat();
        let messages = vec![message(Role::Assistant, said), message(Role::Tool, vec![result("1", "a cat")])];
        Request { messages, ..Request::new("gpt-5") }
    };
    let assistant = |thoughts, options| body(request(thoughts), options)["messages"][0].clone();
    let field = || json!({ "reasoning_field": "reasoning_content" });
    let plain = || vec![thought("Hm", r#"{"openai":[]}"#), thought("m.", r#"{"openai":[]}"#)];
    assert_eq!(assistant(plain(), json!({})).get("reasoning_content"), None);
    assert_eq!(assistant(plain(), field())["reasoning_content"], "Hmm.");
    let detailed = assistant(vec![thought("Hm", r#"{"openai":[{"type":"reasoning.text","text":"Hm"}]}"#)], json!({}));
    assert_eq!(detailed["reasoning_details"], json!([{ "type": "reasoning.text", "text": "Hm" }]));
    // Those of another provider mean nothing here.
    let foreign = vec![thought("Hm", r#"{"type":"thinking","signature":"x"}"#), thought("Hm", "\u{0}")];
    assert_eq!(assistant(foreign, field()).get("reasoning_content"), None);
}

#[test]
fn an_unknown_option_is_named() {
    let mut host = Host::new().config("base_ulr", "https://example.com");
    let Some(Error::InvalidRequest(told)) = completed(&mut host, request()).1 else { panic!() };
    assert!(told.contains("base_ulr"), "{told}");
    let manifest = OpenAi::manifest();
    let schema: Value = serde_json::from_str(&manifest.config_schema.unwrap()).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    for (name, property) in schema["properties"].as_object().unwrap() {
        assert!(property["description"].is_string(), "{name} says what it is");
    }
    assert_eq!(schema["properties"]["base_url"]["default"], "https://api.openai.com/v1");
}
