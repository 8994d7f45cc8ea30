//! The body of a request for a completion. Equal requests have equal bytes, so that the service's cache
//! knows their beginnings again.

use std::{borrow::Cow, collections::BTreeMap};

use moxxy_sdk::provider::{Error, Message, Part, Request, Role, ToolDefinition};
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    options::{Json, Options},
    thought::Kept,
};

/// Fields that the configuration does not replace.
const OURS: [&str; 4] = ["model", "messages", "tools", "stream"];

pub(crate) type Body = BTreeMap<String, Box<RawValue>>;

#[derive(Serialize)]
struct Said<'a> {
    role: &'static str,
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    #[serde(flatten)]
    thoughts: BTreeMap<&'a str, Value>,
}

/// A text by itself, as every service takes it, or pieces, among which are pictures.
#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(Cow<'a, str>),
    Pieces(Vec<Piece<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Piece<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: Url },
}

#[derive(Serialize)]
struct Url {
    url: String,
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Called<'a>,
}

#[derive(Serialize)]
struct Called<'a> {
    name: &'a str,
    /// Some services read it as an object, whatever it is.
    arguments: Cow<'a, str>,
}

#[derive(Serialize)]
struct Tool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a RawValue,
}

pub(crate) fn of(request: &Request, options: &Options) -> Result<Body, Error> {
    let schema = request.response_schema.as_deref().map(|text| schema("the answer's schema", text)).transpose()?;
    let mut body = Body::new();
    let mut set = |name: &str, value: Box<RawValue>| body.insert(name.to_owned(), value);
    set("model", raw(&request.model)?);
    set("messages", raw(&messages(request, options))?);
    set("stream", raw(&true)?);
    if options.stream_usage {
        set("stream_options", raw(&json!({ "include_usage": true }))?);
    }
    if !request.tools.is_empty() {
        set("tools", raw(&request.tools.iter().map(tool).collect::<Result<Vec<_>, _>>()?)?);
    }
    if let Some(temperature) = request.temperature {
        set("temperature", raw(&temperature)?);
    }
    if let Some(limit) = request.max_output_tokens {
        set(options.max_tokens_field(), raw(&limit)?);
    }
    if let Some(schema) = schema {
        set("response_format", response_format(schema, options.json)?);
    }
    for (name, value) in options.body.iter().filter(|(name, _)| !OURS.contains(&name.as_str())) {
        match value {
            Value::Null => drop(body.remove(name)),
            value => drop(body.insert(name.clone(), raw(value)?)),
        }
    }
    Ok(body)
}

fn messages<'a>(request: &'a Request, options: &'a Options) -> Vec<Said<'a>> {
    let told = request.response_schema.as_deref().filter(|_| options.json == Json::Object);
    let told = told.map(|schema| format!("Answer with a JSON object that fits this JSON Schema: {schema}"));
    let system: Vec<&str> = [request.system.as_deref(), told.as_deref()].into_iter().flatten().collect();
    let system = (!system.is_empty()).then(|| Said {
        content: Some(Content::Text(system.join("\n\n").into())),
        ..Said::nothing(options.system_role())
    });
    system.into_iter().chain(request.messages.iter().flat_map(|message| said(message, options))).collect()
}

/// What a message says: each result of a tool by itself, and then the rest.
fn said<'a>(message: &'a Message, options: &'a Options) -> Vec<Said<'a>> {
    let result = |part: &'a Part| match part {
        Part::ToolResult(result) => Some(Said {
            content: Some(Content::Text(Cow::Borrowed(&result.content))),
            tool_call_id: Some(&result.call_id),
            ..Said::nothing("tool")
        }),
        _ => None,
    };
    let mut said: Vec<Said<'a>> = message.parts.iter().filter_map(result).collect();
    match message.role {
        Role::User => said.push(Said { content: Some(content(message)), ..Said::nothing("user") }),
        Role::Assistant => {
            let tool_calls: Vec<_> = message.parts.iter().filter_map(call).collect();
            let text = message.text();
            let is_silent = text.is_empty() && !tool_calls.is_empty();
            let content = (!is_silent).then(|| Content::Text(text.into()));
            let thoughts = Kept::thoughts(&message.parts, options.reasoning_field.as_deref());
            said.push(Said { content, tool_calls, thoughts, ..Said::nothing("assistant") });
        }
        Role::Tool => {}
    }
    said
}

fn content<'a>(message: &'a Message) -> Content<'a> {
    if !message.parts.iter().any(|part| matches!(part, Part::Image(_))) {
        return Content::Text(message.text().into());
    }
    let piece = |part: &'a Part| match part {
        Part::Text(text) => Some(Piece::Text { text }),
        Part::Image(image) => Some(Piece::ImageUrl { image_url: Url { url: image.data_url() } }),
        _ => None,
    };
    Content::Pieces(message.parts.iter().filter_map(piece).collect())
}

fn call(part: &Part) -> Option<Call<'_>> {
    match part {
        Part::ToolCall(call) => Some(Call {
            id: &call.id,
            kind: "function",
            function: Called { name: &call.name, arguments: call.object() },
        }),
        _ => None,
    }
}

fn tool(tool: &ToolDefinition) -> Result<Tool<'_>, Error> {
    let ToolDefinition { name, description, parameters } = tool;
    let parameters = schema(&format!("the schema of the tool {name:?}"), parameters)?;
    Ok(Tool { kind: "function", function: Function { name, description, parameters } })
}

fn response_format(schema: &RawValue, json: Json) -> Result<Box<RawValue>, Error> {
    #[derive(Serialize)]
    struct Format<'a> {
        r#type: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        json_schema: Option<Named<'a>>,
    }
    #[derive(Serialize)]
    struct Named<'a> {
        name: &'static str,
        strict: bool,
        schema: &'a RawValue,
    }
    raw(&match json {
        Json::Object => Format { r#type: "json_object", json_schema: None },
        json => {
            let named = Named { name: "answer", strict: json == Json::Strict, schema };
            Format { r#type: "json_schema", json_schema: Some(named) }
        }
    })
}

fn schema<'a>(what: &str, text: &'a str) -> Result<&'a RawValue, Error> {
    serde_json::from_str(text).map_err(|error| Error::InvalidRequest(format!("{what} is no JSON: {error}")))
}

fn raw<T: Serialize + ?Sized>(value: &T) -> Result<Box<RawValue>, Error> {
    serde_json::value::to_raw_value(value).map_err(|error| Error::InvalidRequest(error.to_string()))
}

impl Said<'_> {
    fn nothing(role: &'static str) -> Self {
        Self { role, content: None, tool_calls: Vec::new(), tool_call_id: None, thoughts: BTreeMap::new() }
    }
}
