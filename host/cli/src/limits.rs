//! Flags for the limits of an agent.

use serde::Serialize;
use serde_json::{Map, Value};

#[derive(Debug, clap::Args, Serialize)]
pub(crate) struct Limits {
    /// Model calls of one run at most.
    #[arg(long, value_name = "NUMBER")]
    max_steps: Option<u32>,
    /// Tokens of one run at most, in and out together.
    #[arg(long, value_name = "NUMBER")]
    max_tokens: Option<u64>,
    /// How long a run lasts at most, in seconds.
    #[arg(long, value_name = "SECONDS")]
    max_seconds: Option<u64>,
    /// Tool calls of one run at most.
    #[arg(long, value_name = "NUMBER")]
    max_tool_calls: Option<u32>,
    /// What one run may cost, in US dollars.
    #[arg(long, value_name = "DOLLARS")]
    max_cost: Option<f64>,
    /// Tokens of all its runs in a day (UTC) at most.
    #[arg(long, value_name = "NUMBER")]
    max_tokens_per_day: Option<u64>,
    /// What all its runs in a day (UTC) may cost together, in US dollars.
    #[arg(long, value_name = "DOLLARS")]
    max_cost_per_day: Option<f64>,
}

impl Limits {
    /// Returns the limits that are set.
    pub(crate) fn set(&self) -> Map<String, Value> {
        let all = serde_json::to_value(self).ok();
        let mut set = all.and_then(|all| all.as_object().cloned()).unwrap_or_default();
        set.retain(|_, limit| !limit.is_null());
        set
    }
}
