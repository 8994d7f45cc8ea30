//! Limits of runs, enforced before a call and not after it. Opening the step of a model call reserves its maximum
//! usage, in the transaction that adds up earlier usage and reservations.

use std::fmt::Display;

use moxxy_types::{
    agents::Limits,
    money::{Dollars, Price},
    runs::{Failure, RunUsage},
};

use crate::config::{self, UnknownPrice};

/// Minimum number of output tokens for a useful answer. With less room, a call is not made.
const MIN_OUTPUT_TOKENS: u64 = 256;

/// A limit, and whether it is the agent's own.
#[derive(Debug, Clone, Copy)]
pub(in crate::services) struct Bound<T> {
    pub limit: T,
    own: bool,
}

/// Limits of a run: those of its agent, with defaults from the configuration.
#[derive(Debug, Clone, Copy)]
pub(in crate::services) struct Budget {
    pub seconds: Bound<u64>,
    pub tool_calls: Bound<u32>,
    steps: Bound<u32>,
    tokens: Bound<u64>,
    cost: Option<Bound<Dollars>>,
    tokens_per_day: Option<Bound<u64>>,
    cost_per_day: Option<Bound<Dollars>>,
    unknown_price: UnknownPrice,
}

/// Maximum usage of a model call.
#[derive(Debug, Clone)]
pub(in crate::services) struct Demand {
    /// Maximum number of input tokens.
    pub input: u64,
    /// Desired number of output tokens, which limits may reduce.
    pub output: u32,
    pub price: Option<Price>,
    /// Provider and model, as in the configuration of prices.
    pub model: String,
}

/// Usage that is reserved for a model call.
#[derive(Debug, Clone, Copy)]
pub(in crate::services) struct Reservation {
    pub input: u64,
    /// Number of output tokens, which is the limit for the provider.
    pub output: u32,
    /// `None` if the price is unknown.
    pub cost: Option<Dollars>,
}

impl<T> Bound<T> {
    fn new(own: Option<T>, default: T) -> Self {
        Self { own: own.is_some(), limit: own.unwrap_or(default) }
    }

    /// Returns `None` if the configuration has 0 and the agent no limit.
    fn optional(own: Option<T>, default: T) -> Option<Self>
    where
        T: PartialEq + Default,
    {
        (own.is_some() || default != T::default()).then(|| Self::new(own, default))
    }

    /// Returns the failure, with advice on how to raise the limit.
    fn failure(&self, code: &str, over: &str, setting: &str) -> Failure {
        let or = if self.own { "" } else { ", or in `[runs]` of the configuration" };
        let message = format!("{over}; to allow more, raise `{setting}` in the agent's limits{or}");
        Failure { code: code.into(), message }
    }
}

impl Budget {
    pub(in crate::services) fn new(limits: &Limits, config: &config::Config) -> Self {
        let defaults = &config.runs;
        Self {
            seconds: Bound::new(limits.max_seconds, defaults.max_seconds),
            tool_calls: Bound::new(limits.max_tool_calls, defaults.max_tool_calls),
            steps: Bound::new(limits.max_steps, defaults.max_steps),
            tokens: Bound::new(limits.max_tokens, defaults.max_tokens),
            cost: Bound::optional(limits.max_cost, defaults.max_cost),
            tokens_per_day: Bound::optional(limits.max_tokens_per_day, defaults.max_tokens_per_day),
            cost_per_day: Bound::optional(limits.max_cost_per_day, defaults.max_cost_per_day),
            unknown_price: config.prices.unknown,
        }
    }

    /// Whether there are limits per day.
    pub(in crate::services) fn has_daily_limits(&self) -> bool {
        self.tokens_per_day.is_some() || self.cost_per_day.is_some()
    }

    /// Returns a reservation for a model call, given what its run, and its agent today, used and reserved. Reduces the
    /// output tokens before it refuses the call.
    pub(in crate::services) fn admit(
        &self,
        demand: &Demand,
        run: &RunUsage,
        today: &RunUsage,
    ) -> Result<Reservation, Failure> {
        if run.steps >= self.steps.limit {
            let over = format!("The run used up its {} model calls", self.steps.limit);
            return Err(self.steps.failure("step_limit", &over, "max_steps"));
        }
        let output = self.tokens_left(demand, run, today)?;
        let Some(price) = demand.price else {
            self.allow_unknown_price(demand)?;
            return Ok(Reservation { input: demand.input, output, cost: None });
        };
        let output = self.money_left(demand, &price, output, run, today)?;
        Ok(Reservation { input: demand.input, output, cost: Some(price.max_cost(demand.input, output.into())) })
    }

    /// Returns the number of output tokens that the token limits allow.
    fn tokens_left(&self, demand: &Demand, run: &RunUsage, today: &RunUsage) -> Result<u32, Failure> {
        let least = MIN_OUTPUT_TOKENS.min(demand.output.into());
        let mut output = u64::from(demand.output);
        let limits = [
            (Some(self.tokens), run.tokens(), "The run", "", "token_limit", "max_tokens"),
            (self.tokens_per_day, today.tokens(), "The agent", " of today", "daily_token_limit", "max_tokens_per_day"),
        ];
        for (bound, used, who, when, code, setting) in limits {
            let Some(bound) = bound else { continue };
            let needed = demand.input.saturating_add(least);
            let left = bound.limit.saturating_sub(used);
            if left < needed {
                let of = format!("{} tokens", bound.limit);
                return Err(bound.failure(code, &short(who, used, &of, when, needed), setting));
            }
            output = output.min(left - demand.input);
        }
        Ok(u32::try_from(output).unwrap_or(demand.output))
    }

    /// Returns how many of `output` tokens the cost limits allow.
    fn money_left(
        &self,
        demand: &Demand,
        price: &Price,
        output: u32,
        run: &RunUsage,
        today: &RunUsage,
    ) -> Result<u32, Failure> {
        let least = MIN_OUTPUT_TOKENS.min(output.into());
        let mut output = u64::from(output);
        let limits = [
            (self.cost, run.counted_cost(), "The run", "", "cost_limit", "max_cost"),
            (self.cost_per_day, today.counted_cost(), "The agent", " of today", "daily_cost_limit", "max_cost_per_day"),
        ];
        for (bound, used, who, when, code, setting) in limits {
            let Some(bound) = bound else { continue };
            let needed = price.max_cost(demand.input, least);
            let left = bound.limit.saturating_sub(used);
            if left < needed {
                let of = bound.limit.to_string();
                return Err(bound.failure(code, &short(who, used, &of, when, needed), setting));
            }
            output = output.min(price.output_for(left.saturating_sub(price.max_cost(demand.input, 0))));
        }
        Ok(u32::try_from(output).unwrap_or(u32::MAX))
    }

    fn allow_unknown_price(&self, demand: &Demand) -> Result<(), Failure> {
        if self.cost.is_none() && self.cost_per_day.is_none() {
            return Ok(());
        }
        let model = &demand.model;
        if self.unknown_price == UnknownPrice::Warn {
            tracing::warn!(%model, "the price of a model is unknown, so the cost limit does not count its calls");
            return Ok(());
        }
        let message = format!(
            "The run has a limit on money, and the price of `{model}` is not known; write it into `models` of `[prices]` \
             in the configuration, or set `unknown = \"warn\"` there"
        );
        Err(Failure { code: "unknown_price".into(), message })
    }

    pub(in crate::services) fn out_of_time(&self) -> Failure {
        let over = format!("The run used up its {} seconds", self.seconds.limit);
        self.seconds.failure("time_limit", &over, "max_seconds")
    }

    pub(in crate::services) fn out_of_tool_calls(&self) -> Failure {
        let over = format!("The run used up its {} tool calls", self.tool_calls.limit);
        self.tool_calls.failure("tool_call_limit", &over, "max_tool_calls")
    }
}

fn short(who: &str, used: impl Display, of: &str, when: &str, needed: impl Display) -> String {
    format!("{who} used or reserved {used} of its {of}{when}, and the next model call may take {needed}")
}

impl Reservation {
    pub(in crate::services) fn tokens(&self) -> u64 {
        self.input.saturating_add(self.output.into())
    }
}
