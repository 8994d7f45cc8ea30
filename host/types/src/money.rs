//! Amounts of money, in billionths of a US dollar: whole numbers, so that sums are exact. People and
//! programs see dollars.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const PER_DOLLAR: f64 = 1e9;
/// The largest amount, in dollars: far below what the database has room for.
const MOST: f64 = 1e6;
/// Prices are of so many tokens.
const TOKENS: u128 = 1_000_000;

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

    pub fn stored(billionths: i64) -> Self {
        Self(billionths.unsigned_abs())
    }

    /// As the database can keep it.
    pub fn to_stored(self) -> i64 {
        // Far beyond any call, and many of them still add up.
        i64::try_from(self.0).unwrap_or(i64::MAX).min(i64::MAX >> 16)
    }

    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Of so many tokens at this price per million, rounded up.
    fn of(self, tokens: u64) -> Self {
        let cost = (u128::from(self.0) * u128::from(tokens)).div_ceil(TOKENS);
        Self(u64::try_from(cost).unwrap_or(u64::MAX))
    }

    fn to_dollars(self) -> f64 {
        self.0 as f64 / PER_DOLLAR
    }
}

impl std::ops::Add for Dollars {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Price {
    /// From dollars per million tokens, if these are amounts.
    pub fn new(input: f64, cached_input: Option<f64>, output: f64) -> Option<Self> {
        let cached_input = Dollars::new(cached_input.unwrap_or(input))?;
        Some(Self { input: Dollars::new(input)?, cached_input, output: Dollars::new(output)? })
    }

    /// What a call costs; the cached ones are among the input tokens.
    pub fn cost(&self, input: u64, cached: u64, output: u64) -> Dollars {
        let cached = cached.min(input);
        self.input.of(input - cached) + self.cached_input.of(cached) + self.output.of(output)
    }

    /// What a call costs at most.
    pub fn worst(&self, input: u64, output: u64) -> Dollars {
        self.input.max(self.cached_input).of(input) + self.output.of(output)
    }

    /// How many output tokens an amount suffices for.
    pub fn output_for(&self, amount: Dollars) -> u64 {
        let tokens = (u128::from(amount.0) * TOKENS).checked_div(u128::from(self.output.0));
        tokens.map_or(u64::MAX, |tokens| u64::try_from(tokens).unwrap_or(u64::MAX))
    }
}

impl std::fmt::Display for Dollars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "${}", self.to_dollars())
    }
}

impl Serialize for Dollars {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.to_dollars())
    }
}

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = || serde::de::Error::custom("an amount is 0 to 1000000 US dollars");
        Self::new(f64::deserialize(deserializer)?).ok_or_else(wrong)
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
