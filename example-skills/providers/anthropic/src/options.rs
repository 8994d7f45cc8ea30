//! The configuration.

use std::collections::BTreeMap;

use moxxy_sdk::provider::{Error, Key, KnownModel, Service};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::refusal;

/// The names of the secrets.
pub(crate) const KEY: &str = "key";
pub(crate) const TOKEN: &str = "token";

/// How to reach the service, and what to ask of its models.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    /// Where the service is, without `/v1`.
    pub base_url: String,
    /// How the key is sent: `x-api-key`, in the header of that name, if one is granted; `bearer`, in
    /// `Authorization`, as gateways want it; or `none`.
    pub auth: Auth,
    /// The version of the API, sent as `anthropic-version`.
    pub version: String,
    /// Betas to take part in, sent as `anthropic-beta`.
    pub betas: Vec<String>,
    /// Headers to send with each request. A key is none: it is granted as a secret.
    pub headers: BTreeMap<String, String>,
    /// Fields to send with each completion, such as `top_p`, or `thinking` where `thinking_budget` does not
    /// say enough. They replace those that would be sent otherwise, and null leaves one out; `model`,
    /// `messages`, `system`, `tools`, `max_tokens` and `stream` stay.
    pub body: Map<String, Value>,
    /// The models, in place of those that the service lists, which tells no prices.
    pub models: Vec<KnownModel>,
    /// How many tokens an answer has at most where the agent does not say. The service wants to be told.
    #[schemars(range(min = 1))]
    pub max_tokens: u32,
    /// How many tokens of an answer may be thoughts, at least 1024; unless told the model does not think
    /// before it answers. An answer that is limited to fewer tokens has fewer thoughts, or none.
    #[schemars(range(min = 1024))]
    pub thinking_budget: Option<u32>,
    /// What is marked for the service's cache: of the conversation, what it ends with and what it ended
    /// with the time before.
    pub cache: Vec<Cached>,
    /// How long it stays in the cache: `5m` or `1h`, which costs more to write.
    pub cache_ttl: Ttl,
}

/// How the key is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum Auth {
    XApiKey,
    Bearer,
    None,
}

/// What is cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Cached {
    Tools,
    System,
    Messages,
}

/// How long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) enum Ttl {
    #[serde(rename = "5m")]
    Minutes,
    #[serde(rename = "1h")]
    Hour,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            base_url: "https://api.anthropic.com".to_owned(),
            auth: Auth::XApiKey,
            version: "2023-06-01".to_owned(),
            betas: Vec::new(),
            headers: BTreeMap::new(),
            body: Map::new(),
            models: Vec::new(),
            max_tokens: 8192,
            thinking_budget: None,
            cache: vec![Cached::Tools, Cached::System, Cached::Messages],
            cache_ttl: Ttl::Minutes,
        }
    }
}

impl Options {
    /// Returns the service as it is configured.
    pub(crate) fn service(&self) -> Result<Service, Error> {
        let service = Service::new(&self.base_url).errors(refusal::error);
        let service = match self.auth {
            Auth::XApiKey => service.key_header("x-api-key", Key::open(KEY)?),
            Auth::Bearer => service.bearer(Key::open(TOKEN)?),
            Auth::None => service,
        };
        let mut service = service.header("anthropic-version", &self.version);
        if !self.betas.is_empty() {
            service = service.header("anthropic-beta", self.betas.join(","));
        }
        Ok(service.configured_headers(&self.headers))
    }
}
