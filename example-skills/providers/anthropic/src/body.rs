//! The body of a request for a completion. Equal requests have equal bytes, so that the service's cache
//! knows their beginnings again.

use std::{borrow::Cow, collections::BTreeMap};

use moxxy_sdk::provider::{Error, Message, ModelOptions, Part, Request, Role, ToolCall, ToolDefinition};
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    format,
    options::{Cached, Options},
    refusal::NO_FORMAT,
    thought::Thought,
    wire::{Block, Piece, Said, Source, Tool},
};

/// Fields that the configuration does not replace.
const OURS: [&str; 6] = ["model", "messages", "system", "tools", "max_tokens", "stream"];
/// The fewest tokens to think with.
const BUDGET: u32 = 1024;
/// How an answer is told to be.
const OUTPUT: &str = "output_config";

pub(crate) type Body = BTreeMap<String, Box<RawValue>>;

pub(crate) fn of(request: &Request, options: &Options) -> Result<Body, Error> {
    let limit = request.max_output_tokens.unwrap_or(options.max_tokens);
    let mut body = Body::new();
    let mut set = |name: &str, value: Box<RawValue>| body.insert(name.to_owned(), value);
    set("model", raw(&request.model)?);
    set("max_tokens", raw(&limit)?);
    set("stream", raw(&true)?);
    if let Some(text) = request.system.as_deref().filter(|text| is_said(text)) {
        set("system", raw(&[Block::Text { text, cache_control: options.mark(Cached::System) }])?);
    }
    let mut messages = messages(request)?;
    options.mark_messages(&mut messages);
    set("messages", raw(&messages)?);
    let mut tools = request.tools.iter().map(tool).collect::<Result<Vec<_>, _>>()?;
    options.mark_tools(&mut tools);
    if !tools.is_empty() {
        set("tools", raw(&tools)?);
    }
    let ModelOptions { temperature, top_p, stop, reasoning_effort, thinking, extra } = &request.options;
    if !stop.is_empty() {
        set("stop_sequences", raw(stop)?);
    }
    let wanted = match thinking {
        Some(false) => None,
        Some(true) => Some(options.thinking_budget.unwrap_or(limit / 2)),
        None => options.thinking_budget,
    };
    let budget = wanted.map(|budget| budget.min(limit.saturating_sub(1)));
    if let Some(budget) = budget.filter(|&budget| budget >= BUDGET) {
        set("thinking", raw(&json!({ "type": "enabled", "budget_tokens": budget }))?);
    }
    if let Some(extra) = extra {
        let extra: BTreeMap<String, Value> = serde_json::from_str(extra)
            .map_err(|error| Error::InvalidRequest(format!("the option `extra` is no JSON object: {error}")))?;
        for (name, value) in extra.into_iter().filter(|(name, _)| !OURS.contains(&name.as_str())) {
            body.insert(name, raw(&value)?);
        }
    }
    for (name, value) in options.body.iter().filter(|(name, _)| !OURS.contains(&name.as_str())) {
        match value {
            Value::Null => drop(body.remove(name)),
            value => drop(body.insert(name.clone(), raw(value)?)),
        }
    }
    // Who thinks does so at one temperature.
    let thinks = body.get("thinking").is_some_and(|thinking| !thinking.get().contains("\"disabled\""));
    let is_free = |name: &str| !thinks && !options.body.contains_key(name);
    if let Some(temperature) = temperature.filter(|_| is_free("temperature")) {
        body.insert("temperature".to_owned(), raw(&temperature.min(1.0))?);
    }
    if let Some(top_p) = top_p.filter(|_| is_free("top_p")) {
        body.insert("top_p".to_owned(), raw(&top_p)?);
    }
    let schema = request.response_schema.as_deref().map(|text| schema("the answer's schema", text)).transpose()?;
    let schema = schema.filter(|schema| format::is_accepted(schema) && !request.is_adapted(NO_FORMAT));
    if schema.is_some() || reasoning_effort.is_some() {
        body.insert(OUTPUT.to_owned(), output(schema, reasoning_effort.as_deref(), options)?);
    }
    Ok(body)
}

/// The schema and the effort beside what else is configured there.
fn output(schema: Option<&RawValue>, effort: Option<&str>, options: &Options) -> Result<Box<RawValue>, Error> {
    #[derive(Serialize)]
    struct Format<'a> {
        r#type: &'static str,
        schema: &'a RawValue,
    }
    let configured = options.body.get(OUTPUT).and_then(Value::as_object).into_iter().flatten();
    let mut output = configured.map(|(name, value)| Ok((name.as_str(), raw(value)?))).collect::<Result<_, Error>>()?;
    if let Some(schema) = schema {
        BTreeMap::insert(&mut output, "format", raw(&Format { r#type: "json_schema", schema })?);
    }
    if let Some(effort) = effort {
        output.insert("effort", raw(effort)?);
    }
    raw(&output)
}

/// Messages that take turns: results of tools are the user's.
fn messages(request: &Request) -> Result<Vec<Said<'_>>, Error> {
    let mut messages: Vec<Said<'_>> = Vec::with_capacity(request.messages.len());
    for message in &request.messages {
        let (role, content) = match message.role {
            Role::Assistant => ("assistant", answer(message)?),
            Role::User | Role::Tool => ("user", message.parts.iter().filter_map(given).collect()),
        };
        match messages.last_mut().filter(|before| before.role == role) {
            Some(before) => before.content.extend(content),
            None if content.is_empty() => {}
            None => messages.push(Said { role, content }),
        }
    }
    Ok(messages)
}

fn given(part: &Part) -> Option<Piece<'_>> {
    let block = match part {
        Part::Text(text) if is_said(text) => Block::Text { text, cache_control: None },
        Part::Image(image) => {
            let source = Source { kind: "base64", media_type: &image.media_type, data: image.base64() };
            Block::Image { source, cache_control: None }
        }
        Part::ToolResult(result) => Block::ToolResult {
            tool_use_id: id(&result.call_id),
            content: &result.content,
            is_error: result.is_error,
            cache_control: None,
        },
        _ => return None,
    };
    Some(Piece::Block(block))
}

/// What the model said, with its thoughts where they stood.
fn answer(message: &Message) -> Result<Vec<Piece<'_>>, Error> {
    let mut texts = message.parts.iter().filter_map(Part::as_text);
    // The positions are those in one text.
    let (text, others) = (texts.next().unwrap_or_default(), texts);
    let calls: Vec<&ToolCall> = message.parts.iter().filter_map(as_call).collect();
    let (mut rest, mut unmade, mut content) = (text, &*calls, Vec::new());
    for thought in message.parts.iter().filter_map(Thought::of) {
        let (before, behind) = rest.split_at_checked(behind(text, rest, thought.at.text)).unwrap_or(("", rest));
        content.extend(said(before));
        rest = behind;
        let made = calls.len() - unmade.len();
        let (before, behind) = unmade.split_at(thought.at.calls.saturating_sub(made).min(unmade.len()));
        content.extend(before.iter().map(|call| made_of(call)).collect::<Result<Vec<_>, _>>()?);
        unmade = behind;
        content.push(Piece::Thought(thought.block));
    }
    content.extend([rest].into_iter().chain(others).filter_map(said));
    content.extend(unmade.iter().map(|call| made_of(call)).collect::<Result<Vec<_>, _>>()?);
    // A message of nothing but thoughts is none.
    let has_more = content.iter().any(|piece| matches!(piece, Piece::Block(_)));
    Ok(if has_more { content } else { Vec::new() })
}

/// How many bytes of the rest stand before a place in the whole.
fn behind(whole: &str, rest: &str, place: usize) -> usize {
    place.saturating_sub(whole.len() - rest.len()).min(rest.len())
}

fn said(text: &str) -> Option<Piece<'_>> {
    is_said(text).then_some(Piece::Block(Block::Text { text, cache_control: None }))
}

/// The service takes no text that is blank.
fn is_said(text: &str) -> bool {
    !text.trim().is_empty()
}

fn as_call(part: &Part) -> Option<&ToolCall> {
    match part {
        Part::ToolCall(call) => Some(call),
        _ => None,
    }
}

fn made_of(call: &ToolCall) -> Result<Piece<'_>, Error> {
    let input = RawValue::from_string(call.object().into_owned());
    let input = input.map_err(|error| Error::InvalidRequest(error.to_string()))?;
    Ok(Piece::Block(Block::ToolUse { id: id(&call.id), name: &call.name, input }))
}

/// An id in the letters that the service takes; that of a call which another service made may have others.
fn id(id: &str) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if id.chars().all(fits) { id.into() } else { id.replace(|c| !fits(c), "_").into() }
}

fn tool(tool: &ToolDefinition) -> Result<Tool<'_>, Error> {
    let ToolDefinition { name, description, parameters } = tool;
    let input_schema = schema(&format!("the schema of the tool {name:?}"), parameters)?;
    Ok(Tool { name, description, input_schema, cache_control: None })
}

fn schema<'a>(what: &str, text: &'a str) -> Result<&'a RawValue, Error> {
    serde_json::from_str(text).map_err(|error| Error::InvalidRequest(format!("{what} is no JSON: {error}")))
}

fn raw<T: Serialize + ?Sized>(value: &T) -> Result<Box<RawValue>, Error> {
    serde_json::value::to_raw_value(value).map_err(|error| Error::InvalidRequest(error.to_string()))
}
