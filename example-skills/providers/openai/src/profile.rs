//! Profiles: how services and servers deviate from OpenAI's API. Each is a file in `profiles`.

use moxxy_sdk::provider::Error;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::options::{Json, MaxTokensField};

/// Defines the names of the profiles, and includes their files.
macro_rules! profiles {
    ($($variant:ident $name:literal),*) => {
        /// A service or server that deviates from OpenAI's API in a known way.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[schemars(inline)]
        pub(crate) enum Name {
            $(#[serde(rename = $name)] $variant),*
        }

        const FILES: &[(Name, &str)] =
            &[$((Name::$variant, include_str!(concat!("../profiles/", $name, ".json")))),*];
    };
}

profiles!(
    OpenAi "openai", Azure "azure", DeepSeek "deepseek", Gemini "gemini", Mistral "mistral", Groq "groq",
    OpenRouter "openrouter", XAi "xai", Together "together", Vllm "vllm", SgLang "sglang", LlamaCpp "llama.cpp",
    LlamaCppPython "llama-cpp-python", LmStudio "lm-studio", Ollama "ollama", LiteLlm "litellm"
);

/// Deviations of a service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Profile {
    /// Hosts of the service, with a port or without; a dot at the start stands for all hosts below.
    hosts: Vec<String>,
    /// Name of the limit on output tokens.
    pub max_tokens_field: Option<MaxTokensField>,
    /// Whether `stream_options` is accepted.
    pub stream_usage: Option<bool>,
    /// How an answer is held to a JSON Schema.
    pub json: Option<Json>,
    /// Whether an answer is held to a schema only in a request without tools, because the service refuses both at once
    /// or calls no tools then.
    pub json_without_tools: bool,
    /// Which ids of tool calls are accepted.
    pub call_ids: CallIds,
    /// Whether a message with tool calls has an empty text, in place of `null`.
    pub empty_content: bool,
    /// Which messages carry `reasoning_content`, even if it is empty.
    pub reasoning_content: ReasoningContent,
    /// How the reasoning effort is sent.
    pub reasoning: Reasoning,
    /// How thinking is switched on and off.
    pub thinking: Thinking,
    /// Fields that are refused.
    pub omits: Vec<String>,
    /// Keywords of JSON Schema that are refused.
    pub excluded_keywords: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CallIds {
    #[default]
    Any,
    /// Nine letters and digits.
    Nine,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReasoningContent {
    /// Those that came with it and have tool calls.
    #[default]
    AsReceived,
    /// All that have tool calls.
    Calls,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reasoning {
    /// `reasoning_effort`.
    #[default]
    Field,
    /// `reasoning: {"effort": …}`.
    Object,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Thinking {
    /// `thinking: {"type": "enabled"}`.
    #[default]
    Type,
    /// `chat_template_kwargs: {"enable_thinking": true}`.
    Template,
}

impl Profile {
    /// Returns the profile of this name, or that of the service at a URL, or one without deviations.
    pub(crate) fn of(name: Option<Name>, base_url: &str) -> Result<Self, Error> {
        let may_be = |known: &Name| name.is_none_or(|name| name == *known);
        for (_, file) in FILES.iter().filter(|(known, _)| may_be(known)) {
            let profile: Self = serde_json::from_str(file).map_err(|error| Error::Other(error.to_string()))?;
            if name.is_some() || profile.hosts.iter().any(|host| is_at(base_url, host)) {
                return Ok(profile);
            }
        }
        Ok(Self::default())
    }
}

/// Whether a URL is at a host.
fn is_at(url: &str, host: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let without_port = authority.rsplit_once(':').map_or(&*authority, |(name, _)| name);
    match host.starts_with('.') {
        true => without_port.ends_with(host),
        false => authority == host || without_port == host,
    }
}
