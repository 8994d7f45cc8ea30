//! What is sent.

use moxxy_sdk::{
    provider::{Image, Model, ModelOptions, Thinking, ToolCall, ToolDefinition, ToolResult},
    testing::placeholder,
};
use serde_json::json;

use super::*;

fn asked(request: Request, options: Value) -> Host {
    let body = events(&[
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" } }),
        json!({ "type": "message_stop" }),
    ]);
    let host = Host::new()
        .secret("key", "sk-ant-t0ps3cret")
        .secret("token", "t0k3nt0k3n")
        .response("POST", MESSAGES, 200, body);
    let options = options.as_object().unwrap().clone();
    let mut host = options.into_iter().fold(host, |host, (key, value)| host.config(key, value));
    assert_eq!(completed(&mut host, request).1, None);
    host
}

fn body(request: Request, options: Value) -> Value {
    serde_json::from_slice(asked(request, options).requests()[0].sent_body()).unwrap()
}

fn tool(name: &str) -> ToolDefinition {
    let parameters = r#"{"type":"object","properties":{"z":{},"a":{}}}"#.to_owned();
    ToolDefinition { name: name.to_owned(), description: "Looks.".to_owned(), parameters }
}

fn call(id: &str, arguments: &str) -> Part {
    Part::ToolCall(ToolCall::new(id, "look", arguments))
}

fn result(id: &str, content: &str, is_error: bool) -> Part {
    Part::ToolResult(ToolResult { call_id: id.to_owned(), content: content.to_owned(), is_error })
}

fn thought(block: &Value, text: usize, calls: usize) -> Part {
    let opaque = json!({ "anthropic": block, "at": { "text": text, "calls": calls } }).to_string().into_bytes();
    Part::Thinking(Thinking { text: None, opaque })
}

#[test]
fn a_conversation_is_sent_whole_and_marked_for_the_cache() {
    let image = Part::Image(Image { media_type: "image/png".to_owned(), data: vec![1, 2, 3] });
    let messages = vec![
        message(Role::User, vec![text("What is this?"), image]),
        message(Role::Assistant, vec![text("I look."), call("call.1", "{\"at\": 1}"), call("2", "{broken")]),
        message(Role::Tool, vec![result("call.1", "a cat", false), result("2", "bad JSON", true)]),
        message(Role::User, vec![text(" \n"), text("Hurry.")]),
    ];
    let request = Request {
        system: Some("Be brief.".to_owned()),
        messages,
        tools: vec![tool("look"), tool("ask")],
        options: ModelOptions { temperature: Some(1.5), ..ModelOptions::none() },
        ..Request::new("claude-sonnet-5")
    };
    let mark = json!({ "type": "ephemeral" });
    let schema = json!({ "type": "object", "properties": { "z": {}, "a": {} } });
    let expected = json!({
        "model": "claude-sonnet-5",
        "max_tokens": 8192,
        "stream": true,
        "temperature": 1.0,
        "system": [{ "type": "text", "text": "Be brief.", "cache_control": mark }],
        "tools": [
            { "name": "look", "description": "Looks.", "input_schema": schema },
            { "name": "ask", "description": "Looks.", "input_schema": schema, "cache_control": mark },
        ],
        "messages": [
            { "role": "user", "content": [
                { "type": "text", "text": "What is this?" },
                { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AQID" }, "cache_control": mark },
            ] },
            { "role": "assistant", "content": [
                { "type": "text", "text": "I look." },
                { "type": "tool_use", "id": "call_1", "name": "look", "input": { "at": 1 } },
                { "type": "tool_use", "id": "2", "name": "look", "input": { "malformed": "{broken" } },
            ] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "call_1", "content": "a cat" },
                { "type": "tool_result", "tool_use_id": "2", "content": "bad JSON", "is_error": true },
                { "type": "text", "text": "Hurry.", "cache_control": mark },
            ] },
        ],
    });
    assert_eq!(body(request, json!({})), expected);
}

#[test]
fn the_cache_is_the_operator_s_choice() {
    let request = || Request { system: Some("Be brief.".to_owned()), tools: vec![tool("look")], ..request() };
    let none = body(request(), json!({ "cache": [] })).to_string();
    assert!(!none.contains("cache_control"), "{none}");
    let system = body(request(), json!({ "cache": ["system"], "cache_ttl": "1h" }));
    assert_eq!(system["system"][0]["cache_control"], json!({ "type": "ephemeral", "ttl": "1h" }));
    assert_eq!(system.to_string().matches("cache_control").count(), 1);
    let long: Vec<Message> = (0..9)
        .flat_map(|_| [message(Role::User, vec![text("Go on")]), message(Role::Assistant, vec![text("Yes")])])
        .chain([message(Role::User, vec![text("Go on")])])
        .collect();
    let marked = body(Request { messages: long, ..request() }, json!({})).to_string();
    assert_eq!(marked.matches("cache_control").count(), 4, "the service takes no more");
}

#[test]
fn thoughts_go_back_unchanged_to_where_they_stood() {
    let first = json!({ "type": "thinking", "thinking": "Hm", "signature": "c2ln", "new_field": [1] });
    let second = json!({ "type": "redacted_thinking", "data": "AAAA" });
    let third = json!({ "type": "thinking", "thinking": "", "signature": "eHl6" });
    let foreign = Part::Thinking(Thinking { text: Some("Hm".to_owned()), opaque: b"{\"openai\":[]}".to_vec() });
    let place = "Grüß ".len();
    let thoughts = vec![foreign, thought(&first, 0, 0), thought(&second, place, 0), thought(&third, place + 4, 1)];
    let said = [thoughts, vec![text("Grüß dich"), call("1", "{}"), call("2", "{}")]].concat();
    let answered = message(Role::Tool, vec![result("1", "a cat", false), result("2", "a dog", false)]);
    let messages = vec![message(Role::User, vec![text("Hello")]), message(Role::Assistant, said), answered];
    let sent = body(Request { messages, ..Request::new("claude-sonnet-5") }, json!({}));
    let used = |id: &str| json!({ "type": "tool_use", "id": id, "name": "look", "input": {} });
    let said = |text: &str| json!({ "type": "text", "text": text });
    assert_eq!(
        sent["messages"][1]["content"],
        json!([first, said("Grüß "), second, said("dich"), used("1"), third, used("2")])
    );
}

#[test]
fn thoughts_that_fit_nowhere_do_no_harm() {
    let block = json!({ "type": "thinking", "thinking": "Hm", "signature": "c2ln" });
    // Within a character, and far behind the end.
    let odd = vec![thought(&block, 3, 0), thought(&block, usize::MAX, usize::MAX), text("Grüß"), call("1", "{}")];
    let alone = vec![thought(&block, 0, 0), text(" ")];
    let messages = vec![
        message(Role::User, vec![text("Hello")]),
        message(Role::Assistant, odd),
        message(Role::User, vec![]),
        message(Role::Assistant, alone),
    ];
    let sent = body(Request { messages, ..Request::new("claude-sonnet-5") }, json!({}));
    let texts: Vec<&str> = sent["messages"][1]["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|piece| piece["type"].as_str().unwrap())
        .collect();
    assert_eq!(texts, ["thinking", "text", "tool_use", "thinking"]);
    assert_eq!(sent["messages"].as_array().unwrap().len(), 2);
}

#[test]
fn a_model_thinks_within_its_limits() {
    let thinking = |limit, options: Value| {
        let request = Request {
            max_output_tokens: limit,
            options: ModelOptions { temperature: Some(0.5), ..ModelOptions::none() },
            ..request()
        };
        let sent = body(request, options);
        (sent["max_tokens"].clone(), sent.get("thinking").cloned(), sent.get("temperature").cloned())
    };
    let enabled = |tokens: u32| Some(json!({ "type": "enabled", "budget_tokens": tokens }));
    let budget = || json!({ "thinking_budget": 4000 });
    assert_eq!(thinking(None, budget()), (json!(8192), enabled(4000), None));
    assert_eq!(thinking(Some(2000), budget()), (json!(2000), enabled(1999), None));
    assert_eq!(thinking(Some(500), budget()), (json!(500), None, Some(json!(0.5))));
    assert_eq!(thinking(Some(500), json!({})), (json!(500), None, Some(json!(0.5))));
    let adaptive = json!({ "type": "adaptive" });
    let configured = thinking(None, json!({ "body": { "thinking": adaptive }, "max_tokens": 100 }));
    assert_eq!(configured, (json!(100), Some(adaptive), None));
}

#[test]
fn an_answer_is_held_to_a_schema() {
    let closed = json!({ "type": "object", "additionalProperties": false });
    let request = |schema: &Value| Request { response_schema: Some(schema.to_string()), ..request() };
    let sent = body(request(&closed), json!({ "body": { "output_config": { "effort": "low" } } }));
    let format = json!({ "type": "json_schema", "schema": closed });
    assert_eq!(sent["output_config"], json!({ "effort": "low", "format": format }));
    // Schemas that the service refuses are not sent, and none to a model that refuses all.
    let bounded = json!({ "type": "object", "additionalProperties": false, "properties": { "a": { "minimum": 1 } } });
    for open in [json!({ "type": "object" }), bounded] {
        assert_eq!(body(request(&open), json!({})).get("output_config"), None);
    }
    let adapted = Request { adaptations: vec!["no-format".to_owned()], ..request(&closed) };
    assert_eq!(body(adapted, json!({})).get("output_config"), None);
}

#[test]
fn keys_and_versions_stand_in_their_headers() {
    let header = |host: &Host, name: &str| host.requests()[0].sent_header(name).map(str::to_owned);
    let request = || Request { idempotency_key: Some("once".to_owned()), ..request() };
    let host = asked(request(), json!({ "betas": ["a", "b"], "headers": { "x-team": "red" } }));
    assert_eq!(header(&host, "x-api-key"), Some(placeholder("key")));
    assert_eq!(header(&host, "authorization"), None);
    assert_eq!(header(&host, "anthropic-version").as_deref(), Some("2023-06-01"));
    assert_eq!(header(&host, "anthropic-beta").as_deref(), Some("a,b"));
    assert_eq!(header(&host, "x-team").as_deref(), Some("red"));
    assert_eq!(header(&host, "idempotency-key").as_deref(), Some("once"));
    let host = asked(request(), json!({ "auth": "bearer" }));
    assert_eq!(header(&host, "authorization"), Some(format!("Bearer {}", placeholder("token"))));
    assert_eq!(header(&host, "x-api-key"), None);
    let mut host = Host::new().config("headers", json!({ "X-Api-Key": "sk-ant-t0ps3cret" }));
    assert!(matches!(completed(&mut host, request()).1, Some(Error::InvalidRequest(_))));
}

#[test]
fn equal_requests_have_equal_bytes() {
    let request = || Request { tools: vec![tool("look")], ..request() };
    let sent = || String::from_utf8(asked(request(), json!({})).requests()[0].sent_body().to_vec()).unwrap();
    assert_eq!(sent(), sent());
    assert!(sent().contains(&tool("look").parameters));
}

#[test]
fn models_are_listed_page_by_page() {
    let page = |after: &str, body: Value| {
        ("GET".to_owned(), format!("https://api.anthropic.com/v1/models?limit=1000{after}"), body.to_string())
    };
    let first = json!({ "data": [
        { "type": "model", "id": "a", "display_name": "A", "created_at": "2026-01-01T00:00:00Z" },
        { "type": "model", "id": "b", "max_input_tokens": 200_000, "max_tokens": 64_000 },
    ], "has_more": true, "last_id": "b" });
    let second = json!({ "data": [{ "id": "c" }], "has_more": false, "last_id": "c" });
    let pages = [page("", first), page("&after_id=b", second)];
    let mut host =
        pages.into_iter().fold(Host::new(), |host, (method, url, body)| host.response(method, url, 200, body));
    let models = host.run(Anthropic::models).unwrap();
    let expected = [
        Model { display_name: Some("A".to_owned()), ..Model::new("a") },
        Model { context_window: Some(200_000), max_output_tokens: Some(64_000), ..Model::new("b") },
        Model::new("c"),
    ];
    assert_eq!(models, expected);
    let known = json!([{ "id": "ours", "price": { "input": 3, "cached_input": 0.3, "output": 15 } }]);
    let models = Host::new().config("models", known).run(Anthropic::models).unwrap();
    assert_eq!(models[0].price.unwrap().cached_input, Some(0.3));
}

#[test]
fn every_option_is_described_and_an_unknown_one_is_named() {
    let schema: Value = serde_json::from_str(&Anthropic::manifest().config_schema.unwrap()).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    for (name, property) in schema["properties"].as_object().unwrap() {
        assert!(property["description"].is_string(), "{name} says what it is");
    }
    let mut host = Host::new().config("max_token", 100);
    let Some(Error::InvalidRequest(told)) = completed(&mut host, request()).1 else { panic!() };
    assert!(told.contains("max_token"), "{told}");
}
