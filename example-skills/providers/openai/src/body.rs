//! The body of a request for a completion. Equal requests have equal bytes, so that the service's cache
//! knows their beginnings again.

use std::{borrow::Cow, collections::BTreeMap};

use moxxy_sdk::provider::{Error, Message, ModelOptions, Part, Request, Role, ToolDefinition};
use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};

use crate::{
    dialect::Dialect,
    opaque,
    options::{Json, Options},
    profile::{Reasoning, Thinking},
    strict,
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
    tool_call_id: Option<String>,
    #[serde(flatten)]
    fields: BTreeMap<String, Value>,
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
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Called<'a>,
    #[serde(flatten)]
    fields: Map<String, Value>,
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
    parameters: Cow<'a, RawValue>,
}

/// Returns the body, and warnings about options that the service does not take.
pub(crate) fn of(request: &Request, options: &Options) -> Result<(Body, Vec<String>), Error> {
    let dialect = Dialect::new(options, request)?;
    let schema = request.response_schema.as_deref().map(|text| schema("the answer's schema", text)).transpose()?;
    let mut body = Body::new();
    let mut set = |name: &str, value: Box<RawValue>| body.insert(name.to_owned(), value);
    set("model", raw(&request.model)?);
    set("messages", raw(&messages(request, options, &dialect))?);
    set("stream", raw(&true)?);
    if dialect.stream_usage && dialect.sends("stream_options") {
        set("stream_options", raw(&json!({ "include_usage": true }))?);
    }
    if !request.tools.is_empty() && dialect.calls_tools {
        let tools: Vec<_> =
            request.tools.iter().map(|definition| tool(definition, &dialect)).collect::<Result<_, _>>()?;
        set("tools", raw(&tools)?);
    }
    if let Some(limit) = request.max_output_tokens {
        set(dialect.max_tokens_field, raw(&limit)?);
    }
    let has_tools = !request.tools.is_empty() && dialect.calls_tools;
    let is_held = dialect.sends("response_format") && !(has_tools && dialect.json_without_tools);
    if let Some(schema) = schema.filter(|_| is_held) {
        set("response_format", response_format(schema, dialect.json)?);
    }
    let mut warnings = Vec::new();
    for (name, value) in model_options(request, &dialect)? {
        match dialect.sends(&name) {
            true => drop(body.insert(name, raw(&value)?)),
            false => warnings.push(format!("model `{}` does not take `{name}`, so it was left out", request.model)),
        }
    }
    if !dialect.calls_tools && !request.tools.is_empty() {
        warnings.push(format!("model `{}` does not call tools, so it was offered none", request.model));
    }
    for (name, value) in options.body.iter().filter(|(name, _)| !OURS.contains(&name.as_str())) {
        match value {
            Value::Null => drop(body.remove(name)),
            value => drop(body.insert(name.clone(), raw(value)?)),
        }
    }
    Ok((body, warnings))
}

/// Returns the fields of the options that are set.
fn model_options(request: &Request, dialect: &Dialect) -> Result<Vec<(String, Value)>, Error> {
    let ModelOptions { temperature, top_p, stop, reasoning_effort, thinking, extra } = &request.options;
    let mut fields = Vec::new();
    let mut set = |name: &str, value: Value| fields.push((name.to_owned(), value));
    if let Some(temperature) = temperature {
        set("temperature", number(*temperature));
    }
    if let Some(top_p) = top_p {
        set("top_p", number(*top_p));
    }
    if !stop.is_empty() {
        set("stop", json!(stop));
    }
    if let Some(effort) = reasoning_effort {
        match dialect.reasoning {
            Reasoning::Field => set("reasoning_effort", json!(effort)),
            Reasoning::Object => set("reasoning", json!({ "effort": effort })),
        }
    }
    if let Some(thinking) = thinking {
        match dialect.thinking {
            Thinking::Type => set("thinking", json!({ "type": if *thinking { "enabled" } else { "disabled" } })),
            Thinking::Template => set("chat_template_kwargs", json!({ "enable_thinking": thinking })),
        }
    }
    if let Some(extra) = extra {
        let extra: Map<String, Value> = serde_json::from_str(extra)
            .map_err(|error| Error::InvalidRequest(format!("the option `extra` is no JSON object: {error}")))?;
        fields.extend(extra.into_iter().filter(|(name, _)| !OURS.contains(&name.as_str())));
    }
    Ok(fields)
}

/// Returns a number with the digits that it was written with.
fn number(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, |value| json!(value))
}

fn messages<'a>(request: &'a Request, options: &'a Options, dialect: &Dialect) -> Vec<Said<'a>> {
    let told = request.response_schema.as_deref().filter(|_| dialect.json == Json::Object);
    let told = told.map(|schema| format!("Answer with a JSON object that fits this JSON Schema: {schema}"));
    let system: Vec<&str> = [request.system.as_deref(), told.as_deref()].into_iter().flatten().collect();
    let system = (!system.is_empty()).then(|| system.join("\n\n"));
    let system = system.map(|text| Said {
        content: Some(Content::Text(text.into())),
        ..Said::nothing(dialect.system_role.unwrap_or("user"))
    });
    let said = request.messages.iter().flat_map(|message| said(message, options, dialect));
    let mut all: Vec<Said<'a>> = system.into_iter().chain(said).collect();
    // Instructions without a role of their own stand before the first message of the user.
    if dialect.system_role.is_none()
        && let [first, second, ..] = &mut *all
        && second.role == "user"
        && let (Some(Content::Text(instructions)), Some(Content::Text(text))) = (&first.content, &second.content)
    {
        second.content = Some(Content::Text(format!("{instructions}\n\n{text}").into()));
        all.remove(0);
    }
    all
}

/// What a message says: each result of a tool by itself, and then the rest.
fn said<'a>(message: &'a Message, options: &Options, dialect: &Dialect) -> Vec<Said<'a>> {
    let result = |part: &'a Part| match part {
        Part::ToolResult(result) => Some(Said {
            content: Some(Content::Text(Cow::Borrowed(&result.content))),
            tool_call_id: Some(dialect.call_id(&result.call_id)),
            ..Said::nothing("tool")
        }),
        _ => None,
    };
    let mut said: Vec<Said<'a>> = message.parts.iter().filter_map(result).collect();
    match message.role {
        Role::User => said.push(Said { content: Some(content(message)), ..Said::nothing("user") }),
        Role::Assistant => {
            let tool_calls: Vec<_> = message.parts.iter().filter_map(|part| call(part, options, dialect)).collect();
            let text = message.text();
            let is_null = text.is_empty() && !tool_calls.is_empty() && !dialect.empty_content;
            let content = (!is_null).then(|| Content::Text(text.into()));
            let has_calls = !tool_calls.is_empty();
            let mut fields =
                Kept::thoughts(&message.parts, options.reasoning_field.as_deref(), has_calls, &options.base_url);
            if has_calls && dialect.reasoning_content {
                fields.entry("reasoning_content".to_owned()).or_insert_with(|| "".into());
            }
            fields.extend(opaque::from_opaque(&options.base_url, &message.opaque));
            fields.retain(|name, _| dialect.sends(name));
            said.push(Said { content, tool_calls, fields, ..Said::nothing("assistant") });
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

fn call<'a>(part: &'a Part, options: &Options, dialect: &Dialect) -> Option<Call<'a>> {
    match part {
        Part::ToolCall(call) => Some(Call {
            id: dialect.call_id(&call.id),
            kind: "function",
            function: Called { name: &call.name, arguments: call.object() },
            fields: opaque::from_opaque(&options.base_url, &call.opaque),
        }),
        _ => None,
    }
}

fn tool<'a>(tool: &'a ToolDefinition, dialect: &Dialect) -> Result<Tool<'a>, Error> {
    let ToolDefinition { name, description, parameters } = tool;
    let written = schema(&format!("the schema of the tool {name:?}"), parameters)?;
    let parameters = match !dialect.excluded_keywords.is_empty() {
        false => Cow::Borrowed(written),
        true => {
            let mut parameters: Value = serde_json::from_str(parameters).unwrap_or_default();
            dialect.schema(&mut parameters);
            Cow::Owned(raw(&parameters)?)
        }
    };
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
    let value: Value = serde_json::from_str(schema.get()).unwrap_or_default();
    raw(&match json {
        _ if json == Json::Object || value == json!({ "type": "object" }) => {
            Format { r#type: "json_object", json_schema: None }
        }
        json => {
            let named = Named { name: "answer", strict: json == Json::Strict && strict::is_accepted(&value), schema };
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
        Self { role, content: None, tool_calls: Vec::new(), tool_call_id: None, fields: BTreeMap::new() }
    }
}
