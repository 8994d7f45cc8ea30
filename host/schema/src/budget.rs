//! Budget of steps and time for one evaluation.

use std::time::{Duration, Instant};

/// Maximum number of steps of an evaluation. A step takes about a tenth of a microsecond.
const STEPS: usize = 200_000;
/// Time limit of an evaluation, which is only reached on a machine that is busy with other work.
const TIME: Duration = Duration::from_secs(1);
/// Number of steps between reads of the clock.
const CLOCK: usize = 4096;
/// Number of bytes that are compared, hashed or counted in one step.
const BYTES: usize = 64;

#[derive(Debug)]
pub struct Budget {
    left: usize,
    deadline: Instant,
}

/// The steps or the time are used up: nothing is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted;

pub type Spent<T = ()> = Result<T, Exhausted>;

impl Budget {
    pub fn new() -> Self {
        Self { left: STEPS, deadline: Instant::now() + TIME }
    }

    pub fn spend(&mut self, steps: usize) -> Spent {
        let left = self.left.checked_sub(steps).ok_or(Exhausted)?;
        if left / CLOCK != self.left / CLOCK && Instant::now() >= self.deadline {
            return Err(Exhausted);
        }
        self.left = left;
        Ok(())
    }

    #[cfg(test)]
    pub fn left(&self) -> usize {
        self.left
    }

    /// Spends the steps for processing a text, in addition to the steps of the operation itself.
    pub fn spend_on(&mut self, text: &str) -> Spent {
        self.spend(text.len() / BYTES)
    }
}
