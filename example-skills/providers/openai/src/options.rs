//! The configuration.

use std::{borrow::Cow, collections::BTreeMap};

use moxxy_sdk::provider::{Error, Key, KnownModel, Service};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{profile, refusal};

/// The names of the secrets.
pub(crate) const KEY: &str = "key";
pub(crate) const AZURE_KEY: &str = "azure_key";

/// How to reach the service, and what is particular about it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    /// Where the service is, without the path of an operation. Of Azure, as
    /// `https://NAME.openai.azure.com/openai`.
    pub base_url: String,
    /// How the key is sent: `bearer`, in `Authorization`, if one is granted; `api-key`, in the header of
    /// that name, as Azure wants it; or `none`.
    pub auth: Auth,
    /// The organization that pays, sent as `OpenAI-Organization`.
    pub organization: Option<String>,
    /// The project that pays, sent as `OpenAI-Project`.
    pub project: Option<String>,
    /// Headers to send with each request. A key is none: it is granted as a secret.
    pub headers: BTreeMap<String, String>,
    /// Parameters to add to each URL, such as Azure's `api-version`.
    pub query: BTreeMap<String, String>,
    /// Where below `base_url` conversations are completed. `{model}` in it stands for the model; of Azure,
    /// `deployments/{model}/chat/completions`.
    pub path: String,
    /// Fields to send with each completion, such as `reasoning_effort` or `top_p`. They replace those that
    /// would be sent otherwise, and null leaves one out; `model`, `messages`, `tools` and `stream` stay.
    pub body: Map<String, Value>,
    /// The models, in place of those that the service lists: for services that list none, or do not tell
    /// context windows and prices.
    pub models: Vec<KnownModel>,
    /// The service or server, whose deviations from OpenAI's API are known. By default it is recognised by the host of
    /// `base_url`; set it for a server at an address of your own.
    pub profile: Option<profile::Name>,
    /// What the limit on output tokens is called. By default as the profile says, or else `max_tokens`.
    pub max_tokens_field: Option<MaxTokensField>,
    /// Whether to ask for usage in the stream, by `stream_options`. By default as the profile says, or else it does.
    pub stream_usage: Option<bool>,
    /// The role of the instructions that stand before the conversation.
    pub system_role: SystemRole,
    /// How an answer is held to a JSON Schema: `strict`, by `response_format` with a schema that is kept
    /// to the letter, if it leaves nothing open; `schema`, the same without that; or
    /// `object`, for services that only know JSON, by an instruction. By default as the profile says, or else `strict`.
    pub json: Option<Json>,
    /// The field in which all thoughts go back to the service. By default a thought goes back with the tool calls that
    /// it led to, in `reasoning_content` or `reasoning_details`, as it came.
    pub reasoning_field: Option<String>,
}

/// How the key is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum Auth {
    Bearer,
    ApiKey,
    None,
}

/// What the limit on output tokens is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum MaxTokensField {
    MaxTokens,
    MaxCompletionTokens,
}

/// Whose words instructions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum SystemRole {
    System,
    Developer,
}

/// How an answer is held to a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Json {
    Strict,
    Schema,
    Object,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            base_url: "https://api.openai.com/v1".to_owned(),
            auth: Auth::Bearer,
            organization: None,
            project: None,
            headers: BTreeMap::new(),
            query: BTreeMap::new(),
            path: "chat/completions".to_owned(),
            body: Map::new(),
            models: Vec::new(),
            max_tokens_field: None,
            profile: None,
            stream_usage: None,
            system_role: SystemRole::System,
            json: None,
            reasoning_field: None,
        }
    }
}

impl Options {
    /// Returns the service as it is configured.
    pub(crate) fn service(&self) -> Result<Service, Error> {
        let service = Service::new(&self.base_url).errors(refusal::error);
        let mut service = match self.auth {
            Auth::Bearer => service.bearer(Key::open(KEY)?),
            Auth::ApiKey => service.key_header("api-key", Key::open(AZURE_KEY)?),
            Auth::None => service,
        };
        for (name, value) in [("OpenAI-Organization", &self.organization), ("OpenAI-Project", &self.project)] {
            if let Some(value) = value {
                service = service.header(name, value);
            }
        }
        let service = self.query.iter().fold(service, |service, (name, value)| service.query(name, value));
        Ok(service.configured_headers(&self.headers))
    }

    /// Returns the path for completions of a model. A name that is no path segment is an unknown model where
    /// the path contains it.
    pub(crate) fn path(&self, model: &str) -> Result<Cow<'_, str>, Error> {
        if !self.path.contains("{model}") {
            return Ok((&self.path).into());
        }
        let is_segment = model.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
        if !is_segment || matches!(model, "" | "." | "..") {
            return Err(Error::unknown_model(model));
        }
        Ok(self.path.replace("{model}", model).into())
    }
}

impl MaxTokensField {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}
