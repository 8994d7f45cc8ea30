//! Budget of steps and time for one evaluation.

use std::time::{Duration, Instant};

/// Maximum number of steps of an evaluation. A step takes about a tenth of a microsecond.
const MAX_STEPS: usize = 200_000;
/// Time limit of an evaluation, which is only reached on a machine that is busy with other work.
const TIME_LIMIT: Duration = Duration::from_secs(1);
/// Number of steps between reads of the clock.
const STEPS_PER_CLOCK_READ: usize = 4096;
/// Number of bytes that are compared, hashed or counted in one step.
const BYTES_PER_STEP: usize = 64;

#[derive(Debug)]
pub struct Budget {
    remaining_steps: usize,
    deadline: Instant,
}

/// The steps or the time are used up: nothing is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted;

pub(crate) type BudgetResult<T = ()> = Result<T, Exhausted>;

impl Budget {
    pub fn new() -> Self {
        Self { remaining_steps: MAX_STEPS, deadline: Instant::now() + TIME_LIMIT }
    }

    pub fn spend(&mut self, steps: usize) -> BudgetResult {
        let remaining_steps = self.remaining_steps.checked_sub(steps).ok_or(Exhausted)?;
        if remaining_steps / STEPS_PER_CLOCK_READ != self.remaining_steps / STEPS_PER_CLOCK_READ
            && Instant::now() >= self.deadline
        {
            return Err(Exhausted);
        }
        self.remaining_steps = remaining_steps;
        Ok(())
    }

    #[cfg(test)]
    pub fn remaining_steps(&self) -> usize {
        self.remaining_steps
    }

    /// Spends the steps for processing a text, in addition to the steps of the operation itself.
    pub fn spend_for_text(&mut self, text: &str) -> BudgetResult {
        self.spend(text.len() / BYTES_PER_STEP)
    }
}
