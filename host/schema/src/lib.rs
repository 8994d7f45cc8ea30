//! Validation of values against untrusted JSON Schemas (draft 2020-12).
//!
//! Nothing that a schema refers to is fetched. A schema is compiled once. An evaluation has a limited number of
//! steps; if it exceeds them, it reports no mismatch. `format`, `unevaluated…`, `dependentSchemas` and
//! `$dynamicRef` are not evaluated, nor are patterns that require a backtracking engine.

mod budget;
mod check;
mod coerce;
mod compile;
mod evaluation;
mod kinds;
mod normalize;
mod pattern;
mod place;
#[cfg(test)]
mod tests;
mod values;

use moxxy_types::error::{Detail, Error, Problem};
use serde_json::Value;

pub use check::check;
pub use coerce::coerce;
pub use compile::Schema;
pub use normalize::normalize;
pub use pattern::Patterns;

use self::{budget::Budget, evaluation::Evaluation};

/// Maximum number of mismatches in a sentence.
const MAX_DESCRIBED: usize = 5;

/// Part of a value that does not fit a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Path such as `items[0].name`; empty for the value itself.
    pub place: String,
    pub reason: String,
}

impl Schema {
    /// Returns the known mismatches of a value. Takes some tens of milliseconds at worst: do not call it on the
    /// server's worker threads.
    pub fn mismatches(&self, value: &Value) -> Vec<Mismatch> {
        // An incomplete evaluation decides nothing.
        Evaluation::new(self, Budget::new()).evaluate_root(value).unwrap_or_default()
    }
}

/// Returns an error that lists the mismatches of the object that a client sent as `field`.
pub fn reject_mismatches(code: &'static str, field: &str, wrong: Vec<Mismatch>) -> Result<(), Error> {
    if wrong.is_empty() {
        return Ok(());
    }
    let problem = Problem::new(code, format!("Invalid `{field}`: {}", describe_mismatches(&wrong)));
    let detail = |Mismatch { place, reason }: Mismatch| match place.as_str() {
        "" => Detail::field(field, reason),
        place => Detail::field(&format!("{field}.{place}"), reason),
    };
    Err(Error::Invalid(problem, wrong.into_iter().map(detail).collect()))
}

/// Returns the mismatches in one sentence, which lists the first five of them.
pub fn describe_mismatches(wrong: &[Mismatch]) -> String {
    let describe = |Mismatch { place, reason }: &Mismatch| match place.as_str() {
        "" => reason.clone(),
        place => format!("`{place}`: {reason}"),
    };
    let mut described: Vec<_> = wrong.iter().take(MAX_DESCRIBED).map(describe).collect();
    if let more @ 1.. = wrong.len().saturating_sub(MAX_DESCRIBED) {
        described.push(format!("and {more} more"));
    }
    described.join("; ")
}
