//! The configuration.

use std::collections::BTreeMap;

use moxxy_sdk::provider::{Error, Key, Service};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::refusal;

/// The name of the secret.
pub(crate) const KEY: &str = "key";

/// How to reach the server, and how it runs its models.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    /// Where the server is, without `/api`.
    pub base_url: String,
    /// How the key is sent: `bearer`, in `Authorization`, if one is granted; or `none`.
    pub auth: Auth,
    /// Headers to send with each request. A key is none: it is granted as a secret.
    pub headers: BTreeMap<String, String>,
    /// Whether models think before they answer: true, false, or for some models how much. Unless told
    /// each does as it does by itself; one that cannot think refuses true.
    pub think: Option<Think>,
    /// How many tokens of input and output together a model takes. More take more memory; unless told the
    /// server decides, and mostly on few.
    #[schemars(range(min = 1))]
    pub num_ctx: Option<u32>,
    /// How long a model stays in memory after an answer, such as `10m`.
    pub keep_alive: Option<String>,
    /// Options of the models, such as `top_p` or `seed`, as Ollama names them.
    pub options: Map<String, Value>,
}

/// How the key is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Auth {
    Bearer,
    None,
}

/// Whether a model thinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum Think {
    Whether(bool),
    HowMuch(Level),
}

/// How much it thinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Level {
    Low,
    Medium,
    High,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            base_url: "http://127.0.0.1:11434".to_owned(),
            auth: Auth::None,
            headers: BTreeMap::new(),
            think: None,
            num_ctx: None,
            keep_alive: None,
            options: Map::new(),
        }
    }
}

impl Options {
    /// Returns the server as it is configured.
    pub(crate) fn service(&self) -> Result<Service, Error> {
        let service = Service::new(&self.base_url).errors(refusal::error).configured_headers(&self.headers);
        Ok(match self.auth {
            Auth::Bearer => service.bearer(Key::open(KEY)?),
            Auth::None => service,
        })
    }
}
