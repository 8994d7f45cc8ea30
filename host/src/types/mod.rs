//! What everything else speaks of: ids, times, digests, money and failures.

pub mod clock;
pub mod digest;
pub mod error;
pub mod ids;
pub mod money;
