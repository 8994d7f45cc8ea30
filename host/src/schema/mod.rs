//! JSON Schemas (draft 2020-12) that strangers wrote, and whether a value fits them. Nothing that a
//! schema refers to is fetched, patterns take linear time, and a look at a value takes only so many
//! steps: what is not decided by then is not held against it. `format`, `unevaluated…`, `dependentSchemas` and
//! `$dynamicRef` say nothing here, nor does a pattern that only a backtracking engine knows.

mod check;
mod evaluation;
mod kinds;
mod place;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

pub use check::check;

use self::{evaluation::Evaluation, place::Place};
use crate::error::{Detail, Error, Problem};

/// The most patterns of a component that are looked at.
const PATTERNS: usize = 64;
/// The most room that one takes, in bytes: about twenty times what ordinary ones take.
const PATTERN: usize = 256 * 1024;

/// One thing in a value that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Such as `items[0].name`; empty for the value itself.
    pub place: String,
    pub reason: String,
}

/// The patterns of schemas, compiled.
#[derive(Debug, Default)]
pub struct Patterns(HashMap<String, Regex>);

impl Patterns {
    pub fn of<'s>(schemas: impl IntoIterator<Item = &'s Value>) -> Self {
        let mut patterns = HashMap::new();
        for schema in schemas {
            collect(schema, &mut patterns);
        }
        Self(patterns)
    }

    fn get(&self, pattern: &str) -> Option<&Regex> {
        self.0.get(pattern)
    }
}

/// What in a value does not fit a schema, as far as that is known.
pub fn wrong(schema: &Value, patterns: &Patterns, value: &Value) -> Vec<Mismatch> {
    let mut evaluation = Evaluation::new(schema, patterns);
    evaluation.evaluate(schema, value, &Place::Root, 0);
    evaluation.end()
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

/// Wherever it stands: what is no keyword there costs a little room.
fn collect(schema: &Value, patterns: &mut HashMap<String, Regex>) {
    match schema {
        Value::Object(fields) => {
            let named = fields.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(Map::keys);
            for pattern in fields.get("pattern").and_then(Value::as_str).into_iter().chain(named.map(String::as_str)) {
                if patterns.len() < PATTERNS
                    && means_the_same(pattern)
                    && !patterns.contains_key(pattern)
                    && let Ok(regex) = RegexBuilder::new(pattern).size_limit(PATTERN).dfa_size_limit(PATTERN).build()
                {
                    patterns.insert(pattern.to_owned(), regex);
                }
            }
            fields.values().for_each(|field| collect(field, patterns));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, patterns)),
        _ => {}
    }
}

/// Whether a pattern has nothing that ECMA-262 reads in another way than `regex` does: ends of words, and sets
/// within sets.
fn means_the_same(pattern: &str) -> bool {
    let (mut chars, mut in_set) = (pattern.chars().peekable(), false);
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        match c {
            '\\' if matches!(chars.next(), Some('<' | '>')) => return false,
            '[' if in_set || next == Some(']') => return false,
            '[' => in_set = true,
            ']' => in_set = false,
            '&' | '-' | '~' if in_set && next == Some(c) => return false,
            _ => {}
        }
    }
    true
}
