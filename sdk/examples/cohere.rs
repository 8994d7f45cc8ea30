//! A provider for Cohere's chat, as a stranger writes one: its events name what begins, goes on and ends.
//! `cohere.wire.toml` describes the service for `moxxy provider check`.

use std::collections::VecDeque;

use moxxy_sdk::{
    config,
    http::{Events, Response},
    provider::{
        Chunk, Chunks, Error, Key, Manifest, Message, Model, Part, Provider, Refusal, Request, Role, Service, Source,
        StopReason, Thinking, ToolCallDelta, Usage, parse_json,
    },
    serde_json::{Map, Value, json},
};

struct Cohere;

struct Stream {
    events: Events<Response>,
    thought: String,
    calls: u32,
    has_said: bool,
}

impl Provider for Cohere {
    type Completion = Chunks<Stream>;

    fn manifest() -> Manifest {
        let place = ["config:base_url"];
        Manifest::new("cohere", "1.0.0", "Cohere's models, by version 2 of its chat.")
            .host(place[0], &["GET", "POST"], "To list the models, and to complete conversations.")
            .secret("key", &place, "header:Authorization", "The service's API key.")
            .config_schema(json!({ "type": "object", "properties": { "base_url": { "type": "string" } } }))
    }

    fn models() -> Result<Vec<Model>, Error> {
        let service = service()?;
        let listed: Value = service.send(service.get("v1/models")?.query("endpoint", "chat"))?.json()?;
        let model = |listed: &Value| {
            let window = listed.get("context_length").and_then(Value::as_u64);
            let context_window = window.and_then(|window| u32::try_from(window).ok());
            Some(Model { context_window, ..Model::new(listed.get("name")?.as_str()?) })
        };
        let listed = listed.get("models").and_then(Value::as_array);
        Ok(listed.into_iter().flatten().filter_map(model).collect())
    }

    fn complete(request: Request) -> Result<Self::Completion, Error> {
        let service = service()?;
        let events = service.send(service.post("v2/chat")?.json(&body(&request)?))?.events().lenient();
        Ok(Chunks::of(Stream { events, thought: String::new(), calls: 0, has_said: false }))
    }
}

moxxy_sdk::export_provider!(Cohere);

fn service() -> Result<Service, Error> {
    let url = config::get("base_url").unwrap_or_else(|| "https://api.cohere.com".into());
    Ok(Service::new(url).bearer(Key::open("key")?).errors(|refusal| match refusal.status() {
        400 if refusal.says(&["too many tokens"]) => Error::context_too_long(refusal.message(), None),
        // An invalid token.
        498 => Error::Authentication(refusal.message()),
        _ => refusal.into(),
    }))
}

fn body(request: &Request) -> Result<Value, Error> {
    let schema = |text: &str| parse_json::<Value>(text).map_err(|error| Error::InvalidRequest(error.to_string()));
    let tools = request.tools.iter().map(|tool| {
        let function =
            json!({ "name": tool.name, "description": tool.description, "parameters": schema(&tool.parameters)? });
        Ok(json!({ "type": "function", "function": function }))
    });
    let tools = tools.collect::<Result<Vec<_>, Error>>()?;
    let system = request.system.iter().map(|text| json!({ "role": "system", "content": text }));
    let messages: Vec<Value> = system.chain(request.messages.iter().flat_map(messages)).collect();
    let format = request.response_schema.as_deref().map(schema).transpose()?;
    let fields = [
        ("model", Some(json!(request.model))),
        ("messages", Some(messages.into())),
        ("stream", Some(true.into())),
        ("tools", Some(tools).filter(|tools| !tools.is_empty()).map(Value::from)),
        ("temperature", request.options.temperature.map(Value::from)),
        ("p", request.options.top_p.map(Value::from)),
        ("max_tokens", request.max_output_tokens.map(Value::from)),
        ("response_format", format.map(|schema| json!({ "type": "json_object", "json_schema": schema }))),
    ];
    let present = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Ok(Value::Object(present.collect::<Map<_, _>>()))
}

/// The messages that one of the host's is: each result of a tool is one.
fn messages(message: &Message) -> Vec<Value> {
    let image = |part: &Part| match part {
        Part::Image(image) => Some(json!({ "type": "image_url", "image_url": { "url": image.data_url() } })),
        _ => None,
    };
    let call = |part: &Part| match part {
        Part::ToolCall(call) => Some(json!({
            "id": call.id, "type": "function", "function": { "name": call.name, "arguments": call.object() },
        })),
        _ => None,
    };
    let result = |part: &Part| match part {
        Part::ToolResult(result) => {
            Some(json!({ "role": "tool", "tool_call_id": result.call_id, "content": result.content }))
        }
        _ => None,
    };
    match message.role {
        Role::User => {
            let text = [json!({ "type": "text", "text": message.text() })];
            let content: Vec<Value> = text.into_iter().chain(message.parts.iter().filter_map(image)).collect();
            vec![json!({ "role": "user", "content": content })]
        }
        Role::Assistant => {
            let calls: Vec<Value> = message.parts.iter().filter_map(call).collect();
            vec![match calls.is_empty() {
                true => json!({ "role": "assistant", "content": message.text() }),
                false => json!({ "role": "assistant", "tool_plan": message.text(), "tool_calls": calls }),
            }]
        }
        Role::Tool => message.parts.iter().filter_map(result).collect(),
    }
}

impl Stream {
    fn say(&mut self, content: &Value, chunks: &mut VecDeque<Chunk>) {
        let text = |name| content.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(thought) = text("thinking") {
            self.thought.push_str(thought);
            chunks.push_back(Chunk::ThinkingDelta(thought.to_owned()));
        }
        if let Some(text) = text("text") {
            self.has_said = true;
            chunks.extend(self.finished_thought());
            chunks.push_back(Chunk::Text(text.to_owned()));
        }
    }

    /// A piece of the call that the service numbers so; its first one has a name.
    fn call(&mut self, index: u32, call: &Value, chunks: &mut VecDeque<Chunk>) {
        let text = |pointer| call.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let arguments = match call.pointer("/function/arguments") {
            Some(object @ Value::Object(_)) => object.to_string(),
            Some(Value::String(text)) => text.clone(),
            _ => String::new(),
        };
        chunks.extend(self.finished_thought());
        self.calls = self.calls.max(index.saturating_add(1));
        let (id, name) = (text("/id"), text("/function/name"));
        chunks.push_back(Chunk::ToolCall(ToolCallDelta { id, name, ..ToolCallDelta::new(index, arguments) }));
    }

    fn finished_thought(&mut self) -> Option<Chunk> {
        let text = Some(std::mem::take(&mut self.thought)).filter(|text| !text.is_empty());
        text.map(|text| Chunk::Thinking(Thinking { text: Some(text), opaque: Vec::new() }))
    }

    /// Ends the answer: `end` has the reason and the usage.
    fn end(&mut self, end: &Value, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        let count = |name: &str| end.pointer(&format!("/usage/tokens/{name}")).and_then(Value::as_u64);
        if let (Some(input), Some(output)) = (count("input_tokens"), count("output_tokens")) {
            chunks.push_back(Chunk::Usage(Usage::new(input, output)));
        }
        chunks.extend(self.finished_thought());
        let reason = end.get("finish_reason").and_then(Value::as_str).unwrap_or_default();
        chunks.push_back(Chunk::Stop(match reason {
            "" if self.calls > 0 => StopReason::ToolUse,
            "" if !self.has_said => return Err(Error::broken_off()),
            "" | "COMPLETE" | "STOP_SEQUENCE" => StopReason::EndTurn,
            "TOOL_CALL" => StopReason::ToolUse,
            "MAX_TOKENS" => StopReason::MaxTokens,
            "ERROR" | "TIMEOUT" => {
                let said = end.get("error").and_then(Value::as_str).unwrap_or("the service gave up");
                return Err(Error::Transport(said.to_owned()));
            }
            other => StopReason::Other(other.to_owned()),
        }));
        Ok(())
    }

    /// A whole answer in place of a stream.
    fn whole(&mut self, answer: &Value, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        let list = |pointer| answer.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        list("/message/content").for_each(|content| self.say(content, chunks));
        (0..).zip(list("/message/tool_calls")).for_each(|(index, call)| self.call(index, call, chunks));
        self.end(answer, chunks)
    }
}

impl Source for Stream {
    fn advance(&mut self, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        let event: Value = parse_json(&self.events.next().ok_or_else(Error::broken_off)??.data)?;
        let index = event.get("index").and_then(Value::as_u64).and_then(|index| u32::try_from(index).ok());
        let message = event.pointer("/delta/message");
        match (event.get("type").and_then(Value::as_str), message) {
            (Some("content-start" | "content-delta"), Some(message)) => {
                self.say(message.get("content").unwrap_or(&Value::Null), chunks);
            }
            (Some("tool-call-start" | "tool-call-delta"), Some(message)) => {
                self.call(index.unwrap_or(0), message.get("tool_calls").unwrap_or(&Value::Null), chunks);
            }
            (Some("message-end"), _) => self.end(event.get("delta").unwrap_or(&Value::Null), chunks)?,
            (None, _) if event.get("message").is_some_and(Value::is_object) => self.whole(&event, chunks)?,
            (None, _) if event.get("message").is_some() => return Err(Refusal::new(500, event).into()),
            _ => {}
        }
        Ok(())
    }
}
