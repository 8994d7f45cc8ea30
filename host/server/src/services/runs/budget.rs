//! The limits of runs, which hold before a call and not after it: what a model call may use at most is
//! reserved when its step is opened, in the transaction that adds up what was used and reserved before.

use std::fmt::Display;

use moxxy_types::{
    agents::Limits,
    money::{Dollars, Price},
    runs::{Failure, RunUsage},
};

use crate::config::{self, UnknownPrice};

/// The fewest tokens that are worth an answer: rather than with less room, a call is not made.
const LEAST: u64 = 256;

/// A limit, and whether it is the agent's own.
#[derive(Debug, Clone, Copy)]
pub struct Bound<T> {
    pub most: T,
    own: bool,
}

/// What holds for a run: its agent's limits, and those of the configuration where it has none.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    pub seconds: Bound<u64>,
    pub tool_calls: Bound<u32>,
    steps: Bound<u32>,
    tokens: Bound<u64>,
    cost: Option<Bound<Dollars>>,
    tokens_per_day: Option<Bound<u64>>,
    cost_per_day: Option<Bound<Dollars>>,
    unknown_price: UnknownPrice,
}

/// What a model call may need.
#[derive(Debug, Clone)]
pub struct Demand {
    /// Input tokens at most.
    pub input: u64,
    /// Output tokens, which may become fewer.
    pub output: u32,
    pub price: Option<Price>,
    /// The provider and the model, as prices are written.
    pub model: String,
}

/// What is set aside for a model call.
#[derive(Debug, Clone, Copy)]
pub struct Reservation {
    pub input: u64,
    /// Output tokens, to which the provider is held.
    pub output: u32,
    /// Nothing where the price is not known.
    pub cost: Option<Dollars>,
}

impl<T> Bound<T> {
    fn of(own: Option<T>, default: T) -> Self {
        Self { own: own.is_some(), most: own.unwrap_or(default) }
    }

    /// None where the configuration has 0 and the agent nothing.
    fn optional(own: Option<T>, default: T) -> Option<Self>
    where
        T: PartialEq + Default,
    {
        (own.is_some() || default != T::default()).then(|| Self::of(own, default))
    }

    /// What to do about it.
    fn failure(&self, code: &str, over: &str, setting: &str) -> Failure {
        let or = if self.own { "" } else { ", or in `[runs]` of the configuration" };
        let message = format!("{over}; to allow more, raise `{setting}` in the agent's limits{or}");
        Failure { code: code.into(), message }
    }
}

impl Budget {
    pub fn of(limits: &Limits, config: &config::Config) -> Self {
        let defaults = &config.runs;
        Self {
            seconds: Bound::of(limits.max_seconds, defaults.max_seconds),
            tool_calls: Bound::of(limits.max_tool_calls, defaults.max_tool_calls),
            steps: Bound::of(limits.max_steps, defaults.max_steps),
            tokens: Bound::of(limits.max_tokens, defaults.max_tokens),
            cost: Bound::optional(limits.max_cost, defaults.max_cost),
            tokens_per_day: Bound::optional(limits.max_tokens_per_day, defaults.max_tokens_per_day),
            cost_per_day: Bound::optional(limits.max_cost_per_day, defaults.max_cost_per_day),
            unknown_price: config.prices.unknown,
        }
    }

    /// Whether it matters what the agent used today.
    pub fn has_days(&self) -> bool {
        self.tokens_per_day.is_some() || self.cost_per_day.is_some()
    }

    /// Finds room for a model call among what its run, and its agent today, used and reserved. Its answer
    /// is made shorter before it is refused.
    pub fn admit(&self, demand: &Demand, run: &RunUsage, today: &RunUsage) -> Result<Reservation, Failure> {
        if run.steps >= self.steps.most {
            let over = format!("The run used up its {} model calls", self.steps.most);
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

    /// How many output tokens the limits on tokens leave.
    fn tokens_left(&self, demand: &Demand, run: &RunUsage, today: &RunUsage) -> Result<u32, Failure> {
        let least = LEAST.min(demand.output.into());
        let mut output = u64::from(demand.output);
        let limits = [
            (Some(self.tokens), run.tokens(), "The run", "", "token_limit", "max_tokens"),
            (self.tokens_per_day, today.tokens(), "The agent", " of today", "daily_token_limit", "max_tokens_per_day"),
        ];
        for (bound, used, who, when, code, setting) in limits {
            let Some(bound) = bound else { continue };
            let needed = demand.input.saturating_add(least);
            let left = bound.most.saturating_sub(used);
            if left < needed {
                let of = format!("{} tokens", bound.most);
                return Err(bound.failure(code, &short(who, used, &of, when, needed), setting));
            }
            output = output.min(left - demand.input);
        }
        Ok(u32::try_from(output).unwrap_or(demand.output))
    }

    /// How many output tokens the limits on money leave of so many.
    fn money_left(
        &self,
        demand: &Demand,
        price: &Price,
        output: u32,
        run: &RunUsage,
        today: &RunUsage,
    ) -> Result<u32, Failure> {
        let least = LEAST.min(output.into());
        let mut output = u64::from(output);
        let limits = [
            (self.cost, run.money(), "The run", "", "cost_limit", "max_cost"),
            (self.cost_per_day, today.money(), "The agent", " of today", "daily_cost_limit", "max_cost_per_day"),
        ];
        for (bound, used, who, when, code, setting) in limits {
            let Some(bound) = bound else { continue };
            let needed = price.max_cost(demand.input, least);
            let left = bound.most.saturating_sub(used);
            if left < needed {
                let of = bound.most.to_string();
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
            tracing::warn!(%model, "the price of a model is not known, so the limit on money does not count its calls");
            return Ok(());
        }
        let message = format!(
            "The run has a limit on money, and the price of `{model}` is not known; write it into `models` of `[prices]` \
             in the configuration, or set `unknown = \"warn\"` there"
        );
        Err(Failure { code: "unknown_price".into(), message })
    }

    pub fn out_of_time(&self) -> Failure {
        let over = format!("The run used up its {} seconds", self.seconds.most);
        self.seconds.failure("time_limit", &over, "max_seconds")
    }

    pub fn out_of_tool_calls(&self) -> Failure {
        let over = format!("The run used up its {} tool calls", self.tool_calls.most);
        self.tool_calls.failure("tool_call_limit", &over, "max_tool_calls")
    }
}

fn short(who: &str, used: impl Display, of: &str, when: &str, needed: impl Display) -> String {
    format!("{who} used or reserved {used} of its {of}{when}, and the next model call may take {needed}")
}

impl Reservation {
    pub fn tokens(&self) -> u64 {
        self.input.saturating_add(self.output.into())
    }
}
