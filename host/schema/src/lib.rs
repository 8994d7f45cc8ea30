//! JSON Schemas (draft 2020-12) that strangers wrote, and whether a value fits them. Nothing that a
//! schema refers to is fetched. A schema is made ready once, and a look at a value takes only so many
//! steps: what is not decided by then is not held against it. `format`, `unevaluated…`, `dependentSchemas` and
//! `$dynamicRef` say nothing here, nor does a pattern that only a backtracking engine knows.

mod budget;
mod check;
mod compile;
mod evaluation;
mod kinds;
mod pattern;
mod place;
#[cfg(test)]
mod tests;
mod values;

use moxxy_types::error::{Detail, Error, Problem};
use serde_json::Value;

pub use check::check;
pub use compile::Schema;
pub use pattern::Patterns;

use self::{budget::Budget, evaluation::Evaluation};

/// One thing in a value that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Such as `items[0].name`; empty for the value itself.
    pub place: String,
    pub reason: String,
}

impl Schema {
    /// What in a value does not fit, as far as that is known. It computes for some tens of milliseconds at worst:
    /// not for the server's threads.
    pub fn mismatches(&self, value: &Value) -> Vec<Mismatch> {
        // Half a look says nothing.
        Evaluation::new(self, Budget::new()).look(value).unwrap_or_default()
    }
}

/// What does not fit in an object that a client sent as `field`, as an error that names each place.
pub fn refuse(code: &'static str, field: &str, wrong: Vec<Mismatch>) -> Result<(), Error> {
    if wrong.is_empty() {
        return Ok(());
    }
    let problem = Problem::new(code, format!("Invalid `{field}`: {}", told(&wrong)));
    let detail = |Mismatch { place, reason }: Mismatch| {
        let field = if place.is_empty() { field.to_owned() } else { format!("{field}.{place}") };
        Detail { field, reason }
    };
    Err(Error::Invalid(problem, wrong.into_iter().map(detail).collect()))
}

/// In one sentence.
pub fn told(wrong: &[Mismatch]) -> String {
    let one = |Mismatch { place, reason }: &Mismatch| match place.as_str() {
        "" => reason.clone(),
        place => format!("`{place}`: {reason}"),
    };
    wrong.iter().map(one).collect::<Vec<_>>().join("; ")
}
