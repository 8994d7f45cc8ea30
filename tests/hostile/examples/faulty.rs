//! A provider for OpenAI's chat completions that is right but for the one fault of its configuration.
#![allow(clippy::indexing_slicing, reason = "a field that a service leaves out is null")]

use std::{
    collections::{BTreeSet, VecDeque},
    io::{self, Cursor, Read},
};

use moxxy_sdk::{
    config,
    http::{self, Events, Response},
    provider::{
        Chunk, Chunks, Error, Key, Manifest, Model, Part, Provider, Refusal, Request, Role, Source, StopReason,
        Thinking, ToolCallDelta, Usage, parse_json,
    },
    session,
};
use serde_json::{Value, json};

struct Faulty;

struct Stream {
    events: Events<Box<dyn Read>>,
    thought: String,
    named: BTreeSet<u32>,
    stop: Option<String>,
}

/// Each piece read as if it ended with a letter.
struct Lossy(Response, VecDeque<u8>);

fn has(fault: &str) -> bool {
    config::get("fault").as_deref() == Some(fault)
}

impl Provider for Faulty {
    type Completion = Chunks<Stream>;

    fn manifest() -> Manifest {
        let schema = json!({ "type": "object", "properties": { "fault": { "type": "string" } } });
        hostile::manifest("faulty")
            .host("config:base_url", &["GET", "POST"], "To be tried.")
            .secret("key", &["config:base_url"], "header:Authorization", "To be tried.")
            .config_schema(schema)
    }

    fn models() -> Result<Vec<Model>, Error> {
        let listed: Value = send(http::get(url("models")))?.json()?;
        let models = listed["data"].as_array().into_iter().flatten();
        Ok(models.filter_map(|model| model["id"].as_str()).map(Model::new).collect())
    }

    fn complete(request: Request) -> Result<Self::Completion, Error> {
        if has("spin") {
            hostile::spin();
        }
        let mut post = http::post(url("chat/completions")).json(&body(&request)?);
        if let Some(key) = &request.idempotency_key {
            post = post.header("Idempotency-Key", key);
        }
        let mut answer = send(post.clone());
        if has("retries") && matches!(answer, Err(Error::Overloaded(_))) {
            answer = send(post);
        }
        let response = answer?;
        let reader: Box<dyn Read> = match () {
            () if has("splits-letters") => Box::new(Lossy(response, VecDeque::new())),
            () if has("buffers") => Box::new(Cursor::new(response.bytes()?)),
            () => Box::new(response),
        };
        let (thought, named, stop) = Default::default();
        let events = Events::new(reader);
        let events = if has("strict") { events } else { events.lenient() };
        Ok(Chunks::of(Stream { events, thought, named, stop }))
    }
}

moxxy_sdk::export_provider!(Faulty);

fn url(path: &str) -> String {
    let place = config::get("base_url").unwrap_or_default();
    let place = if has("strays") { "https://elsewhere.example" } else { &*place };
    format!("{}/{path}", place.trim_end_matches('/'))
}

fn send(request: http::Request) -> Result<Response, Error> {
    let key = Key::open("key")?;
    let request = match has("shows-key") {
        true => request.query("key", moxxy_sdk::vault::open("key")?.placeholder()),
        false => key.bearer(request),
    };
    Refusal::check(request.send()?).map_err(|refusal| match refusal.text("/error/code") {
        Some("context_length_exceeded") => Error::context_too_long(refusal.message(), None),
        Some("content_policy_violation") => Error::Refused(refusal.message()),
        Some("insufficient_quota") => Error::Other(refusal.message()),
        _ if has("limits-are-invalid") && refusal.status() == 429 => Error::InvalidRequest(refusal.message()),
        _ => refusal.into(),
    })
}

fn body(request: &Request) -> Result<Value, Error> {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).map_err(|e| Error::InvalidRequest(e.to_string()));
    let mut messages: Vec<Value> = Vec::new();
    messages.extend(request.system.iter().map(|text| json!({ "role": "system", "content": text })));
    for message in &request.messages {
        let (mut content, mut calls) = (Vec::new(), Vec::new());
        for part in &message.parts {
            match part {
                Part::Text(text) => content.push(json!({ "type": "text", "text": text })),
                Part::Image(image) => {
                    content.push(json!({ "type": "image_url", "image_url": { "url": image.data_url() } }));
                }
                Part::ToolCall(call) => calls.push(json!({
                    "id": call.id, "type": "function",
                    "function": { "name": call.name, "arguments": call.object() },
                })),
                Part::ToolResult(result) => {
                    messages.push(json!({ "role": "tool", "tool_call_id": result.call_id, "content": result.content }))
                }
                Part::Thinking(_) | Part::Other(_) => {}
            }
        }
        match message.role {
            Role::User if content.len() == 1 => messages.push(json!({ "role": "user", "content": message.text() })),
            Role::User => messages.push(json!({ "role": "user", "content": content })),
            Role::Assistant => {
                messages.push(json!({ "role": "assistant", "content": message.text(), "tool_calls": calls }));
            }
            Role::Tool => {}
        }
    }
    let tools = request.tools.iter().map(|tool| {
        let parameters = parsed(&tool.parameters)?;
        let function = json!({ "name": tool.name, "description": tool.description, "parameters": parameters });
        Ok(json!({ "type": "function", "function": function }))
    });
    let mut body = json!({
        "model": request.model, "messages": messages, "stream": true, "tools": tools.collect::<Result<Vec<_>, Error>>()?,
        "temperature": request.options.temperature, "max_tokens": request.max_output_tokens,
    });
    if let Some(schema) = &request.response_schema {
        let schema = json!({ "name": "answer", "schema": parsed(schema)? });
        body["response_format"] = json!({ "type": "json_schema", "json_schema": schema });
    }
    if has("varies") {
        body["user"] = json!(session::random_u32());
    }
    Ok(body)
}

impl Stream {
    fn call(&mut self, call: &Value) -> Chunk {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let index = if has("merges-calls") { 0 } else { call["index"].as_u64().unwrap_or(0) as u32 };
        let first = self.named.insert(index);
        Chunk::ToolCall(ToolCallDelta {
            index,
            id: text(&call["id"]).filter(|_| first),
            name: text(&call["function"]["name"]).filter(|_| first),
            arguments: match &call["function"]["arguments"] {
                Value::String(text) => text.clone(),
                object @ Value::Object(_) if !has("strict") => object.to_string(),
                _ => String::new(),
            },
            opaque: None,
        })
    }

    fn finished_thought(&mut self) -> Option<Chunk> {
        let text = Some(std::mem::take(&mut self.thought)).filter(|text| !text.is_empty());
        text.map(|text| Chunk::Thinking(Thinking { text: Some(text), opaque: Vec::new() }))
    }
}

impl Source for Stream {
    fn advance(&mut self, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        let data = match self.events.next().transpose()? {
            Some(event) => event.data,
            None if has("trusts-ends") => "[DONE]".to_owned(),
            None if self.stop.is_some() && !has("strict") => "[DONE]".to_owned(),
            None => return Err(Error::Transport("the service broke off".into())),
        };
        if data == "[DONE]" {
            let stop = match self.stop.take() {
                None if has("strict") => return Err(Error::Transport("it does not say why".into())),
                None if self.named.is_empty() => "stop".to_owned(),
                None => "tool_calls".to_owned(),
                Some(stop) => stop,
            };
            chunks.extend(self.finished_thought());
            chunks.push_back(Chunk::Stop(match &*stop {
                "stop" => StopReason::EndTurn,
                "tool_calls" => StopReason::ToolUse,
                "length" => StopReason::MaxTokens,
                "content_filter" => StopReason::Refusal,
                _ => StopReason::Other(stop),
            }));
            return Ok(());
        }
        let event: Value = match has("strict") {
            true => serde_json::from_str(&data).map_err(|error| Error::Transport(error.to_string()))?,
            false => parse_json(&data)?,
        };
        if event["error"].is_object() {
            let status = event["error"]["code"].as_u64().unwrap_or(500);
            return Err(Refusal::new(status as u16, event).into());
        }
        let choice = &event["choices"][0];
        let delta = if choice["delta"].is_object() { &choice["delta"] } else { &choice["message"] };
        if let Some(text) = delta["reasoning_content"].as_str() {
            self.thought.push_str(text);
            chunks.push_back(Chunk::ThinkingDelta(text.to_owned()));
        }
        if let Some(text) = delta["content"].as_str().filter(|text| !text.is_empty()) {
            chunks.extend(self.finished_thought());
            chunks.push_back(Chunk::Text(text.to_owned()));
        }
        let calls = delta["tool_calls"].as_array().into_iter().flatten().filter(|call| call.is_object());
        chunks.extend(calls.map(|call| self.call(call)));
        let stop = choice["finish_reason"].as_str().filter(|stop| !stop.is_empty());
        self.stop = stop.map(str::to_owned).or(self.stop.take());
        if let usage @ Value::Object(_) = &event["usage"] {
            let count = |pointer| usage.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
            let cached = count("/prompt_tokens_details/cached_tokens");
            let again = if has("counts-twice") { cached } else { 0 };
            chunks.push_back(Chunk::Usage(Usage {
                input_tokens: count("/prompt_tokens") + again,
                cached_input_tokens: cached,
                cache_write_tokens: 0,
                output_tokens: count("/completion_tokens"),
                reasoning_tokens: count("/completion_tokens_details/reasoning_tokens"),
            }));
        }
        Ok(())
    }
}

impl Read for Lossy {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.1.is_empty() {
            let mut piece = vec![0; 8192];
            let count = self.0.read(&mut piece)?;
            piece.truncate(count);
            self.1.extend(String::from_utf8_lossy(&piece).bytes());
        }
        self.1.read(buffer)
    }
}
