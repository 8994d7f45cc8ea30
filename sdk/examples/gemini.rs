//! A provider for Google's `generateContent`, as a stranger writes one: the model stands in the URL, results name the
//! tool, thoughts are counted beside the answer, and a key is no `Bearer`. `gemini.wire.toml` describes the service for
//! `moxxy provider check`.

use std::collections::VecDeque;

use moxxy_sdk::{
    config,
    http::{Events, Response, encode},
    provider::{
        Chunk, Chunks, Error, Key, Manifest, Message, Model, Part, Provider, Refusal, Request, Role, Service, Source,
        StopReason, Thinking, ToolCallDelta, Usage, parse_json,
    },
    serde_json::{Map, Value, json},
};

/// Distinguishes the opaque data of this provider.
const MARK: &str = "gemini:";

struct Gemini;

struct Stream {
    events: Events<Response>,
    thought: String,
    calls: u32,
    usage: Option<Usage>,
    stop: Option<String>,
}

impl Provider for Gemini {
    type Completion = Chunks<Stream>;

    fn manifest() -> Manifest {
        let place = ["config:base_url"];
        Manifest::new("gemini", "1.0.0", "Google's models, by `generateContent`.")
            .host(place[0], &["GET", "POST"], "To list the models, and to complete conversations.")
            .secret("key", &place, "header:x-goog-api-key", "The service's API key.")
            .config_schema(json!({ "type": "object", "properties": { "base_url": { "type": "string" } } }))
    }

    fn models() -> Result<Vec<Model>, Error> {
        let service = service()?;
        let listed: Value = service.send(service.get("models")?)?.json()?;
        let listed = listed.get("models").and_then(Value::as_array);
        Ok(listed.into_iter().flatten().filter_map(model).collect())
    }

    fn complete(request: Request) -> Result<Self::Completion, Error> {
        let service = service()?;
        let path = format!("models/{}:streamGenerateContent", encode(&request.model));
        let post = service.post(&path)?.query("alt", "sse").json(&body(&request)?);
        let events = service.send(post)?.events().lenient();
        Ok(Chunks::of(Stream { events, thought: String::new(), calls: 0, usage: None, stop: None }))
    }
}

moxxy_sdk::export_provider!(Gemini);

fn service() -> Result<Service, Error> {
    let url = config::get("base_url").unwrap_or_else(|| "https://generativelanguage.googleapis.com/v1beta".into());
    Ok(Service::new(url).key_header("x-goog-api-key", Key::open("key")?).errors(error))
}

fn error(refusal: Refusal) -> Error {
    match refusal.status() {
        400 if refusal.says(&["token count"]) => Error::context_too_long(refusal.message(), None),
        400 if refusal.says(&["api key"]) => Error::Authentication(refusal.message()),
        _ => refusal.into(),
    }
}

fn model(listed: &Value) -> Option<Model> {
    let count = |name| u32::try_from(listed.get(name)?.as_u64()?).ok();
    let methods = listed.get("supportedGenerationMethods").and_then(Value::as_array);
    let completes = methods.is_none_or(|methods| methods.iter().any(|method| method == "generateContent"));
    let name = listed.get("name")?.as_str().filter(|_| completes)?;
    Some(Model {
        display_name: listed.get("displayName").and_then(Value::as_str).map(str::to_owned),
        context_window: count("inputTokenLimit"),
        max_output_tokens: count("outputTokenLimit"),
        ..Model::new(name.trim_start_matches("models/"))
    })
}

fn body(request: &Request) -> Result<Value, Error> {
    let schema = |text: &str| parse_json::<Value>(text).map_err(|error| Error::InvalidRequest(error.to_string()));
    let declarations = request.tools.iter().map(|tool| {
        let parameters = schema(&tool.parameters)?;
        Ok(json!({ "name": tool.name, "description": tool.description, "parametersJsonSchema": parameters }))
    });
    let declarations = declarations.collect::<Result<Vec<_>, Error>>()?;
    let contents = request.messages.iter().map(|message| content(request, message)).collect::<Result<Vec<_>, _>>()?;
    let mut config = json!({
        "temperature": request.options.temperature, "topP": request.options.top_p,
        "maxOutputTokens": request.max_output_tokens, "stopSequences": request.options.stop,
    });
    if let (Some(text), Some(config)) = (&request.response_schema, config.as_object_mut()) {
        config.insert("responseMimeType".to_owned(), "application/json".into());
        config.insert("responseJsonSchema".to_owned(), schema(text)?);
    }
    let mut body = Map::from_iter([("contents".to_owned(), contents.into()), ("generationConfig".to_owned(), config)]);
    if let Some(system) = &request.system {
        body.insert("systemInstruction".to_owned(), json!({ "parts": [{ "text": system }] }));
    }
    if !declarations.is_empty() {
        body.insert("tools".to_owned(), json!([{ "functionDeclarations": declarations }]));
    }
    Ok(body.into())
}

fn content(request: &Request, message: &Message) -> Result<Value, Error> {
    let parts = message.parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(Ok(json!({ "text": text }))),
        Part::Image(image) => {
            Some(Ok(json!({ "inlineData": { "mimeType": image.media_type, "data": image.base64() } })))
        }
        Part::ToolCall(call) => Some(parse_json(&call.object()).map(|arguments: Value| {
            let mut part = json!({ "functionCall": { "name": call.name, "args": arguments } });
            let signature = std::str::from_utf8(&call.opaque).ok().and_then(|opaque| opaque.strip_prefix(MARK));
            if let (Some(signature), Some(part)) = (signature, part.as_object_mut()) {
                part.insert("thoughtSignature".to_owned(), signature.into());
            }
            part
        })),
        Part::ToolResult(result) => {
            let field = if result.is_error { "error" } else { "output" };
            let response = Map::from_iter([(field.to_owned(), result.content.clone().into())]);
            let name = request.tool_name(&result.call_id);
            Some(Ok(json!({ "functionResponse": { "name": name, "response": response } })))
        }
        Part::Thinking(_) | Part::Other(_) => None,
    });
    let role = if message.role == Role::Assistant { "model" } else { "user" };
    Ok(json!({ "role": role, "parts": parts.collect::<Result<Vec<_>, Error>>()? }))
}

impl Stream {
    fn part(&mut self, part: &Value, chunks: &mut VecDeque<Chunk>) {
        let text = part.get("text").and_then(Value::as_str).filter(|text| !text.is_empty());
        match (text, part.get("thought").and_then(Value::as_bool)) {
            (Some(text), Some(true)) => {
                self.thought.push_str(text);
                chunks.push_back(Chunk::ThinkingDelta(text.to_owned()));
            }
            (Some(text), _) => {
                chunks.extend(self.finished_thought());
                chunks.push_back(Chunk::Text(text.to_owned()));
            }
            (None, _) => {}
        }
        if let Some(call) = part.get("functionCall").filter(|call| call.is_object()) {
            chunks.extend(self.finished_thought());
            let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
            let arguments = match call.get("args") {
                Some(Value::String(text)) => text.clone(),
                Some(object @ Value::Object(_)) => object.to_string(),
                _ => "{}".to_owned(),
            };
            let signature = text(part.get("thoughtSignature"));
            chunks.push_back(Chunk::ToolCall(ToolCallDelta {
                id: text(call.get("id")),
                name: text(call.get("name")),
                opaque: signature.map(|signature| format!("{MARK}{signature}").into_bytes()),
                ..ToolCallDelta::new(self.calls, arguments)
            }));
            self.calls += 1;
        }
    }

    fn finished_thought(&mut self) -> Option<Chunk> {
        let text = Some(std::mem::take(&mut self.thought)).filter(|text| !text.is_empty());
        text.map(|text| Chunk::Thinking(Thinking { text: Some(text), opaque: Vec::new() }))
    }

    /// Nothing but the end of the stream says that this is all.
    fn end(&mut self, stop: String, chunks: &mut VecDeque<Chunk>) {
        chunks.extend(self.finished_thought());
        chunks.extend(self.usage.take().map(Chunk::Usage));
        chunks.push_back(Chunk::Stop(match &*stop {
            "STOP" if self.calls > 0 => StopReason::ToolUse,
            "STOP" => StopReason::EndTurn,
            "MAX_TOKENS" => StopReason::MaxTokens,
            "SAFETY" | "RECITATION" | "PROHIBITED_CONTENT" | "BLOCKLIST" | "SPII" => StopReason::Refusal,
            _ => StopReason::Other(stop),
        }));
    }

    fn response(&mut self, response: &Value, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        if response.get("error").is_some_and(Value::is_object) {
            let status = response.pointer("/error/code").and_then(Value::as_u64);
            let status = status.and_then(|status| u16::try_from(status).ok()).unwrap_or(500);
            return Err(error(Refusal::new(status, response.clone())));
        }
        if let Some(feedback) = response.get("promptFeedback").filter(|feedback| feedback.get("blockReason").is_some())
        {
            let text = |name| feedback.get(name).and_then(Value::as_str);
            let reason = text("blockReasonMessage").or(text("blockReason")).unwrap_or("the prompt was blocked");
            return Err(Error::Refused(reason.to_owned()));
        }
        let parts = response.pointer("/candidates/0/content/parts").and_then(Value::as_array);
        parts.into_iter().flatten().for_each(|part| self.part(part, chunks));
        let stop = response.pointer("/candidates/0/finishReason").and_then(Value::as_str);
        self.stop = stop.map(str::to_owned).or(self.stop.take());
        if let Some(usage) = response.get("usageMetadata").filter(|usage| usage.is_object()) {
            let count = |name| usage.get(name).and_then(Value::as_u64).unwrap_or(0);
            let thoughts = count("thoughtsTokenCount");
            self.usage = Some(Usage {
                cached_input_tokens: count("cachedContentTokenCount"),
                reasoning_tokens: thoughts,
                ..Usage::new(count("promptTokenCount"), count("candidatesTokenCount").saturating_add(thoughts))
            });
        }
        Ok(())
    }
}

impl Source for Stream {
    fn advance(&mut self, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        match (self.events.next(), self.stop.take()) {
            (None | Some(Err(_)), Some(stop)) => {
                self.end(stop, chunks);
                Ok(())
            }
            (None, None) => Err(Error::broken_off()),
            (Some(event), stop) => {
                self.stop = stop;
                // Without `alt=sse` the responses are a list.
                match parse_json(&event?.data)? {
                    Value::Array(responses) => {
                        responses.iter().try_for_each(|response| self.response(response, chunks))
                    }
                    response => self.response(&response, chunks),
                }
            }
        }
    }
}
