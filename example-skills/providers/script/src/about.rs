//! What is known of the model, as the configuration writes it.

use moxxy_sdk::provider::{Model, Price};
use serde::Deserialize;

/// What is not given is not known.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct About {
    context_window: Option<u32>,
    max_output_tokens: Option<u32>,
    price: Option<Cost>,
}

/// In US dollars per million tokens.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cost {
    input: f64,
    #[serde(default)]
    cached_input: Option<f64>,
    output: f64,
}

impl About {
    pub(crate) fn model(self, id: &str) -> Model {
        let price = |cost: Cost| Price {
            input: cost.input,
            cached_input: cost.cached_input,
            cache_write: None,
            output: cost.output,
        };
        Model {
            context_window: self.context_window,
            max_output_tokens: self.max_output_tokens,
            price: self.price.map(price),
            ..Model::new(id)
        }
    }
}
