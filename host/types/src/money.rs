//! Amounts of money, in whole billionths of a US dollar so that sums are exact. They are displayed and serialized
//! in dollars.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Billionths per dollar.
const BILLIONTHS_PER_DOLLAR: f64 = 1e9;
/// Maximum amount, in dollars: far below the limit of the database.
const MAX_DOLLARS: f64 = 1e6;
/// Number of tokens that a price is for.
const TOKENS_PER_PRICE: u128 = 1_000_000;

/// Amount of money.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dollars(u64);

/// What a model's tokens cost, each a million of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Price {
    /// Of input tokens, in US dollars per million.
    pub input: Dollars,
    /// Of input tokens that were read from the service's cache.
    pub cached_input: Dollars,
    /// Of input tokens that the service wrote to its cache; `null` if they cost what others do.
    #[serde(default)]
    pub cache_write: Option<Dollars>,
    /// Of output tokens.
    pub output: Dollars,
}

impl Dollars {
    /// Converts from dollars. Returns `None` unless the amount is 0 to 1 million dollars.
    pub fn new(dollars: f64) -> Option<Self> {
        // In range, so the conversion only loses fractions of a billionth.
        (0.0..=MAX_DOLLARS).contains(&dollars).then(|| Self((dollars * BILLIONTHS_PER_DOLLAR).round() as u64))
    }

    pub fn from_db(billionths: i64) -> Self {
        Self(billionths.unsigned_abs())
    }

    /// Returns the amount in billionths, capped to what the database can store.
    pub fn to_stored(self) -> i64 {
        // The cap is far above the cost of any call, and sums of many capped amounts do not overflow.
        i64::try_from(self.0).unwrap_or(i64::MAX).min(i64::MAX >> 16)
    }

    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Returns the cost of `tokens` tokens at this price per million, rounded up.
    fn cost_of_tokens(self, tokens: u64) -> Self {
        let cost = (u128::from(self.0) * u128::from(tokens)).div_ceil(TOKENS_PER_PRICE);
        Self(u64::try_from(cost).unwrap_or(u64::MAX))
    }

    fn to_dollars(self) -> f64 {
        self.0 as f64 / BILLIONTHS_PER_DOLLAR
    }
}

impl std::ops::Add for Dollars {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Price {
    /// Converts from dollars per million tokens. Returns `None` if a price is out of range.
    pub fn new(input: f64, cached_input: Option<f64>, cache_write: Option<f64>, output: f64) -> Option<Self> {
        let cached_input = Dollars::new(cached_input.unwrap_or(input))?;
        let cache_write = match cache_write {
            Some(price) => Some(Dollars::new(price)?),
            None => None,
        };
        Some(Self { input: Dollars::new(input)?, cached_input, cache_write, output: Dollars::new(output)? })
    }

    /// Returns the cost of a call. `input` includes the `cached` and the `written` tokens, which the service read from
    /// its cache and wrote to it.
    pub fn cost(&self, input: u64, cached: u64, written: u64, output: u64) -> Dollars {
        let cached = cached.min(input);
        let written = written.min(input - cached);
        self.input.cost_of_tokens(input - cached - written)
            + self.cached_input.cost_of_tokens(cached)
            + self.cache_write.unwrap_or(self.input).cost_of_tokens(written)
            + self.output.cost_of_tokens(output)
    }

    /// Returns the cost of a call of which nothing was read from the cache or written to it.
    pub fn plain_cost(&self, input: u64, output: u64) -> Dollars {
        self.cost(input, 0, 0, output)
    }

    /// Returns the maximum cost of a call.
    pub fn max_cost(&self, input: u64, output: u64) -> Dollars {
        let highest = self.input.max(self.cached_input).max(self.cache_write.unwrap_or_default());
        highest.cost_of_tokens(input) + self.output.cost_of_tokens(output)
    }

    /// Returns the number of output tokens that an amount pays for.
    pub fn output_for(&self, amount: Dollars) -> u64 {
        let tokens = (u128::from(amount.0) * TOKENS_PER_PRICE).checked_div(u128::from(self.output.0));
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
        let out_of_range = || serde::de::Error::custom("an amount is 0 to 1000000 US dollars");
        Self::new(f64::deserialize(deserializer)?).ok_or_else(out_of_range)
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
