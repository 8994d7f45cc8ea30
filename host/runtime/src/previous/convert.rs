//! Conversions between the types of the previous version and the current ones.

use super::bindings::{
    models::exports::moxxy::plugin::{models as old, plugin as old_models_plugin},
    tools::exports::moxxy::plugin::{plugin as old_tools_plugin, tools as old_tools},
};
use crate::bindings::{
    models::exports::moxxy::plugin::models, plugin::exports::moxxy::plugin::plugin,
    tools::exports::moxxy::plugin::tools,
};

/// Defines the conversion of a manifest, whose type is generated once for each world.
macro_rules! manifest {
    ($name:ident, $old:ident) => {
        pub(super) fn $name(manifest: $old::Manifest) -> plugin::Manifest {
            let $old::Manifest { name, version, description, hosts, secrets, limits, config_schema } = manifest;
            let host = |$old::HostRequest { host, methods, reason }| plugin::HostRequest { host, methods, reason };
            let secret = |$old::SecretRequest { name, hosts, place, reason }| plugin::SecretRequest {
                name,
                hosts,
                place,
                reason,
            };
            let $old::LimitRequests { memory, cpu_time, wall_time } = limits;
            plugin::Manifest {
                name,
                version,
                description,
                hosts: hosts.into_iter().map(host).collect(),
                secrets: secrets.into_iter().map(secret).collect(),
                limits: plugin::LimitRequests { memory, cpu_time, wall_time },
                config_schema,
            }
        }
    };
}

manifest!(tools_manifest, old_tools_plugin);
manifest!(models_manifest, old_models_plugin);

pub(super) fn tool(tool: old_tools::Tool) -> tools::Tool {
    let old_tools::Tool { name, description, parameters, hints } = tool;
    let old_tools::Hints { read_only, idempotent, wants_approval } = hints;
    let hints = tools::Hints { read_only, idempotent, requires_approval: wants_approval };
    tools::Tool { name, description, parameters, hints }
}

pub(super) fn output(output: old_tools::Output) -> tools::Output {
    tools::Output { content: output.content, media_type: output.media_type }
}

pub(super) fn tool_error(error: old_tools::Error) -> tools::Error {
    match error {
        old_tools::Error::Invalid(message) => tools::Error::Invalid(message),
        old_tools::Error::Failed(message) => tools::Error::Failed(message),
        old_tools::Error::Pending => tools::Error::Pending,
        old_tools::Error::Other(message) => tools::Error::Other(message),
    }
}

pub(super) fn model(model: old::Model) -> models::Model {
    let old::Model { id, display_name, context_window, max_output_tokens, price } = model;
    let price = price.map(|old::Price { input, cached_input, output }| models::Price {
        input,
        cached_input,
        cache_write: None,
        output,
    });
    models::Model { id, display_name, context_window, max_output_tokens, price, calls_tools: None, reads_images: None }
}

/// Leaves out what the previous version does not know.
pub(super) fn request(request: &models::Request) -> old::Request {
    let models::Request { model, system, messages, tools, options, max_output_tokens, .. } = request.clone();
    let tool = |models::ToolDefinition { name, description, parameters }| old::ToolDefinition {
        name,
        description,
        parameters,
    };
    old::Request {
        model,
        system,
        messages: messages.into_iter().map(message).collect(),
        tools: tools.into_iter().map(tool).collect(),
        temperature: options.temperature,
        max_output_tokens,
        response_schema: request.response_schema.clone(),
        idempotency_key: request.idempotency_key.clone(),
    }
}

fn message(message: models::Message) -> old::Message {
    let role = match message.role {
        models::Role::User => old::Role::User,
        models::Role::Assistant => old::Role::Assistant,
        models::Role::Tool => old::Role::Tool,
    };
    old::Message { role, parts: message.parts.into_iter().filter_map(part).collect() }
}

fn part(part: models::Part) -> Option<old::Part> {
    Some(match part {
        models::Part::Text(text) => old::Part::Text(text),
        models::Part::Image(models::Image { media_type, data }) => old::Part::Image(old::Image { media_type, data }),
        models::Part::Thinking(models::Thinking { text, opaque }) => {
            old::Part::Thinking(old::Thinking { text, opaque })
        }
        models::Part::ToolCall(models::ToolCall { id, name, arguments, .. }) => {
            old::Part::ToolCall(old::ToolCall { id, name, arguments })
        }
        models::Part::ToolResult(models::ToolResult { call_id, content, is_error }) => {
            old::Part::ToolResult(old::ToolResult { call_id, content, is_error })
        }
        models::Part::Other(_) => return None,
    })
}

pub(super) fn chunk(chunk: old::Chunk) -> models::Chunk {
    match chunk {
        old::Chunk::Text(text) => models::Chunk::Text(text),
        old::Chunk::ThinkingDelta(text) => models::Chunk::ThinkingDelta(text),
        old::Chunk::Thinking(old::Thinking { text, opaque }) => {
            models::Chunk::Thinking(models::Thinking { text, opaque })
        }
        old::Chunk::ToolCall(old::ToolCallDelta { index, id, name, arguments }) => {
            models::Chunk::ToolCall(models::ToolCallDelta { index, id, name, arguments, opaque: None })
        }
        old::Chunk::Usage(usage) => models::Chunk::Usage(models::Usage {
            input_tokens: usage.input_tokens,
            cached_input_tokens: usage.cached_input_tokens,
            cache_write_tokens: 0,
            output_tokens: usage.output_tokens,
            reasoning_tokens: usage.reasoning_tokens,
        }),
        old::Chunk::Stop(reason) => models::Chunk::Stop(match reason {
            old::StopReason::EndTurn => models::StopReason::EndTurn,
            old::StopReason::ToolUse => models::StopReason::ToolUse,
            old::StopReason::MaxTokens => models::StopReason::MaxTokens,
            old::StopReason::Refusal => models::StopReason::Refusal,
            old::StopReason::Other(reason) => models::StopReason::Other(reason),
        }),
    }
}

pub(super) fn error(error: old::Error) -> models::Error {
    let retry = |old::Retry { message, retry_after }| models::Retry { message, retry_after };
    match error {
        old::Error::Authentication(message) => models::Error::Authentication(message),
        old::Error::RateLimited(again) => models::Error::RateLimited(retry(again)),
        old::Error::Overloaded(again) => models::Error::Overloaded(retry(again)),
        old::Error::ContextTooLong(message) => {
            models::Error::ContextTooLong(models::LimitExceeded { message, limit: None })
        }
        old::Error::Refused(message) => models::Error::Refused(message),
        old::Error::InvalidRequest(message) => models::Error::InvalidRequest(message),
        old::Error::Transport(message) => models::Error::Transport(message),
        old::Error::Other(message) => models::Error::Other(message),
    }
}
