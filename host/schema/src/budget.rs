//! What a look at a value may cost.

use std::time::{Duration, Instant};

/// How many steps a look may take, of about a tenth of a microsecond each.
const STEPS: usize = 200_000;
/// How long it may take, which only a machine that is busy with other things comes to.
const TIME: Duration = Duration::from_secs(1);
/// After how many steps the clock is read.
const CLOCK: usize = 4096;
/// How many bytes are compared, hashed or counted in one step.
const BYTES: usize = 64;

#[derive(Debug)]
pub struct Budget {
    left: usize,
    deadline: Instant,
}

/// There are no steps left, or there is no time: nothing is decided.
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

    /// For work on a text, beside what is spent anyway.
    pub fn spend_on(&mut self, text: &str) -> Spent {
        self.spend(text.len() / BYTES)
    }
}
