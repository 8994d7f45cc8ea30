//! The body of a request for a completion. Equal requests have equal bytes, so that the server's cache
//! knows their beginnings again.

use std::collections::BTreeMap;

use moxxy_sdk::provider::{Error, Message, ModelOptions, Part, Request, Role, ToolCall, ToolDefinition};
use serde_json::{Value, json, value::RawValue};

use crate::{
    options::Options,
    refusal::{NO_THINKING, NO_TOOLS},
    stream::MARK,
    wire::{Body, Call, Called, Function, Said, Tool},
};

pub(crate) fn of<'a>(request: &'a Request, options: &'a Options) -> Result<Body<'a>, Error> {
    let format = request.response_schema.as_deref().map(|text| schema("the answer's schema", text)).transpose()?;
    let mut model: BTreeMap<&str, _> =
        options.options.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    model.extend(options.num_ctx.map(|tokens| ("num_ctx", tokens.into())));
    model.extend(request.max_output_tokens.map(|tokens| ("num_predict", tokens.into())));
    let ModelOptions { temperature, top_p, stop, reasoning_effort, thinking, extra } = &request.options;
    model.extend(temperature.map(|temperature| ("temperature", temperature.into())));
    model.extend(top_p.map(|top_p| ("top_p", top_p.into())));
    model.extend((!stop.is_empty()).then(|| ("stop", stop.clone().into())));
    let extra: BTreeMap<String, Value> = extra.as_deref().map_or(Ok(BTreeMap::new()), |extra| {
        serde_json::from_str(extra)
            .map_err(|error| Error::InvalidRequest(format!("the option `extra` is no JSON object: {error}")))
    })?;
    let mut model: BTreeMap<String, Value> = model.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    model.extend(extra);
    let think = match (reasoning_effort, thinking) {
        _ if request.is_adapted(NO_THINKING) => None,
        (Some(effort), _) => Some(effort.clone().into()),
        (None, Some(thinking)) => Some((*thinking).into()),
        (None, None) => options.think.as_ref().map(|think| json!(think)),
    };
    let tools = if request.is_adapted(NO_TOOLS) { &[][..] } else { &request.tools };
    // With a format the server lets the model call no tools.
    let format = format.filter(|_| tools.is_empty());
    Ok(Body {
        model: &request.model,
        messages: messages(request)?,
        tools: tools.iter().map(tool).collect::<Result<_, _>>()?,
        stream: true,
        truncate: false,
        format,
        think,
        keep_alive: options.keep_alive.as_deref(),
        options: model,
    })
}

fn messages(request: &Request) -> Result<Vec<Said<'_>>, Error> {
    let system = request.system.as_deref().map(|text| Said { content: text.into(), ..Said::nothing("system") });
    let mut messages: Vec<Said<'_>> = system.into_iter().collect();
    for message in &request.messages {
        for part in &message.parts {
            if let Part::ToolResult(result) = part {
                messages.push(Said {
                    content: result.content.as_str().into(),
                    // Results name the tool, not the call.
                    tool_name: request.tool_name(&result.call_id),
                    ..Said::nothing("tool")
                });
            }
        }
        match message.role {
            Role::User => messages.push(user(message)),
            Role::Assistant => messages.push(assistant(message)?),
            Role::Tool => {}
        }
    }
    Ok(messages)
}

fn user(message: &Message) -> Said<'_> {
    let image = |part: &Part| match part {
        Part::Image(image) => Some(image.base64()),
        _ => None,
    };
    let images = message.parts.iter().filter_map(image).collect();
    Said { content: message.text().into(), images, ..Said::nothing("user") }
}

fn assistant<'a>(message: &'a Message) -> Result<Said<'a>, Error> {
    let thought = |part: &'a Part| match part {
        // Those of other providers mean nothing here.
        Part::Thinking(thinking) if thinking.opaque == MARK => thinking.text.as_deref(),
        _ => None,
    };
    let call = |part: &'a Part| match part {
        Part::ToolCall(call) => Some(called(call)),
        _ => None,
    };
    let thinking: String = message.parts.iter().filter_map(thought).collect();
    Ok(Said {
        content: message.text().into(),
        tool_calls: message.parts.iter().filter_map(call).collect::<Result<_, _>>()?,
        thinking: Some(thinking).filter(|thinking| !thinking.is_empty()),
        ..Said::nothing("assistant")
    })
}

fn called(call: &ToolCall) -> Result<Call<'_>, Error> {
    let arguments = RawValue::from_string(call.object().into_owned());
    let arguments = arguments.map_err(|error| Error::InvalidRequest(error.to_string()))?;
    Ok(Call { function: Called { name: &call.name, arguments } })
}

fn tool(tool: &ToolDefinition) -> Result<Tool<'_>, Error> {
    let ToolDefinition { name, description, parameters } = tool;
    let parameters = schema(&format!("the schema of the tool {name:?}"), parameters)?;
    Ok(Tool { kind: "function", function: Function { name, description, parameters } })
}

fn schema<'a>(what: &str, text: &'a str) -> Result<&'a RawValue, Error> {
    serde_json::from_str(text).map_err(|error| Error::InvalidRequest(format!("{what} is no JSON: {error}")))
}

impl Said<'_> {
    fn nothing(role: &'static str) -> Self {
        let (content, images, tool_calls) = Default::default();
        Self { role, content, images, tool_calls, tool_name: None, thinking: None }
    }
}
