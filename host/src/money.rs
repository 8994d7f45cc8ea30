//! Amounts of money, in billionths of a US dollar: whole numbers, so that sums are exact. People and
//! programs see dollars.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

const PER_DOLLAR: f64 = 1e9;
/// The largest amount, in dollars: far below what the number has room for.
const MOST: f64 = 1e6;

/// An amount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dollars(u64);

/// What a model's tokens cost, each a million of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Price {
    /// Of input tokens, in US dollars per million.
    pub input: Dollars,
    /// Of input tokens that were read from the service's cache.
    pub cached_input: Dollars,
    /// Of output tokens.
    pub output: Dollars,
}

impl Dollars {
    /// From dollars, if that is an amount: 0 to a million.
    pub fn new(dollars: f64) -> Option<Self> {
        // In range, so the conversion loses only what is smaller than a billionth.
        (0.0..=MOST).contains(&dollars).then(|| Self((dollars * PER_DOLLAR).round() as u64))
    }

    fn to_dollars(self) -> f64 {
        self.0 as f64 / PER_DOLLAR
    }
}

impl Price {
    /// From dollars per million tokens, if these are amounts.
    pub fn new(input: f64, cached_input: Option<f64>, output: f64) -> Option<Self> {
        let cached_input = Dollars::new(cached_input.unwrap_or(input))?;
        Some(Self { input: Dollars::new(input)?, cached_input, output: Dollars::new(output)? })
    }
}

impl Serialize for Dollars {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.to_dollars())
    }
}

impl JsonSchema for Dollars {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Dollars".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0 })
    }
}
