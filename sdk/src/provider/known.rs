//! Models that the operator describes, where the service does not.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Model, Price};

/// A model as the configuration describes it, for services that list none, or say little of them. A
/// field of your configuration's type can be a list of these:
///
/// ```
/// use moxxy_sdk::{config, provider::{KnownModel, Model}, testing::Host};
/// use serde_json::json;
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Options {
///     /// The models, in place of those that the service lists.
///     models: Vec<KnownModel>,
/// }
///
/// let model = json!({ "id": "large-1", "context_window": 8192, "price": { "input": 0.5, "output": 2 } });
/// let options: Options = Host::new().config("models", vec![model]).run(config::read).unwrap();
/// let models: Vec<Model> = options.models.into_iter().map(Model::from).collect();
/// assert_eq!(models[0].context_window, Some(8192));
/// assert_eq!(models[0].price.unwrap().output, 2.0);
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct KnownModel {
    /// The name that requests carry.
    pub id: String,
    /// A name for people.
    #[serde(default)]
    pub display_name: Option<String>,
    /// How many tokens of input and output together it takes.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub context_window: Option<u32>,
    /// How many tokens it can answer with.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub max_output_tokens: Option<u32>,
    /// What it costs.
    #[serde(default)]
    pub price: Option<KnownPrice>,
    /// Whether it can call tools.
    #[serde(default)]
    pub calls_tools: Option<bool>,
    /// Whether it reads images.
    #[serde(default)]
    pub reads_images: Option<bool>,
}

/// What a [`KnownModel`] costs, in US dollars per million tokens.
///
/// ```
/// let price: moxxy_sdk::provider::KnownPrice = serde_json::from_str(r#"{ "input": 0.5, "output": 2 }"#).unwrap();
/// assert_eq!(price.cached_input, None);
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct KnownPrice {
    /// Of input tokens.
    #[schemars(range(min = 0.0))]
    pub input: f64,
    /// Of input tokens that the service read from its cache, if it is another.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub cached_input: Option<f64>,
    /// Of input tokens that the service wrote to its cache, if it is another.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub cache_write: Option<f64>,
    /// Of output tokens.
    #[schemars(range(min = 0.0))]
    pub output: f64,
}

impl From<KnownModel> for Model {
    fn from(known: KnownModel) -> Self {
        let KnownModel { id, display_name, context_window, max_output_tokens, price, calls_tools, reads_images } =
            known;
        let price = price.map(|KnownPrice { input, cached_input, cache_write, output }| Price {
            input,
            cached_input,
            cache_write,
            output,
        });
        Self { id, display_name, context_window, max_output_tokens, price, calls_tools, reads_images }
    }
}
