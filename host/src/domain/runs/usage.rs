//! What model calls used, and what is reserved for them.

use schemars::JsonSchema;
use serde::Serialize;

use crate::types::money::Dollars;

/// What a step used; of a tool call all is 0.
#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
#[schemars(rename = "StepUsage")]
pub struct Used {
    /// Tokens that the model read; 0 for a tool.
    pub input_tokens: u64,
    /// Those of them that the service had in its cache.
    pub cached_input_tokens: u64,
    /// Tokens that the model wrote; 0 for a tool.
    pub output_tokens: u64,
    /// In US dollars; `null` where the model's price is not known, and for a tool.
    pub cost: Option<Dollars>,
    /// Tokens that limits count beside these: of a call under way, or whose usage never became known.
    pub reserved_tokens: u64,
    /// The same in US dollars.
    pub reserved_cost: Dollars,
}

/// What a run has used.
#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
#[schemars(rename = "RunUsage")]
pub struct Spent {
    /// Model calls.
    pub steps: u32,
    /// Tool calls that were made.
    pub tool_calls: u32,
    /// Tokens that the model read.
    pub input_tokens: u64,
    /// Those of them that the service had in its cache.
    pub cached_input_tokens: u64,
    /// Tokens that the model wrote.
    pub output_tokens: u64,
    /// In US dollars, without the calls whose price is not known.
    pub cost: Dollars,
    /// Tokens that limits count beside these: of calls under way, or whose usage never became known.
    pub reserved_tokens: u64,
    /// The same in US dollars.
    pub reserved_cost: Dollars,
}

/// What an agent used in a day.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "DayUsage")]
pub struct Day {
    /// The day (UTC), as 2026-11-27. A call belongs to the day on which it began.
    pub day: String,
    #[serde(flatten)]
    pub usage: Spent,
}

impl Spent {
    /// What limits on tokens count.
    pub fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens).saturating_add(self.reserved_tokens)
    }

    /// What limits on money count.
    pub fn money(&self) -> Dollars {
        self.cost + self.reserved_cost
    }
}
