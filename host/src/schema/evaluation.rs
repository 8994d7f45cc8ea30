//! One look at a value: what holds for values of every kind.

use std::collections::HashSet;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::{Mismatch, Patterns, kinds, place::Place};

/// How many steps a look may take: some tens of milliseconds.
const STEPS: usize = 200_000;
/// How deeply schemas may nest in it, references followed.
const DEPTH: usize = 160;
/// How much is told of what is wrong.
const TOLD: usize = 5;
/// How much of a value is shown, in characters.
const SHOWN: usize = 80;
/// How many names or values are listed.
const LISTED: usize = 12;

/// What is not looked at.
const UNKNOWN: [&str; 5] =
    ["unevaluatedProperties", "unevaluatedItems", "dependentSchemas", "dependencies", "$dynamicRef"];

/// Whether a value fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    Yes,
    No,
    /// As far as was looked at, it does.
    Perhaps,
}

pub struct Evaluation<'s> {
    root: &'s Value,
    pub patterns: &'s Patterns,
    found: Vec<Mismatch>,
    /// How much does not fit; not all of it is found.
    count: usize,
    /// How much could not be decided of what fits so far.
    unsure: usize,
    steps: usize,
}

impl<'s> Evaluation<'s> {
    pub fn new(root: &'s Value, patterns: &'s Patterns) -> Self {
        Self { root, patterns, found: Vec::new(), count: 0, unsure: 0, steps: STEPS }
    }

    /// What was found. Half a look says nothing.
    pub fn end(self) -> Vec<Mismatch> {
        if self.steps == 0 { Vec::new() } else { self.found }
    }

    /// Holds a value against a schema, at a depth of schemas.
    pub fn evaluate(&mut self, schema: &Value, value: &Value, place: &Place<'_>, depth: usize) {
        let schema = match schema {
            Value::Object(schema) => schema,
            Value::Bool(false) => return self.wrong(place, "nothing is allowed here".into()),
            _ => return,
        };
        if depth > DEPTH {
            self.steps = 0;
        }
        if !self.spend(1 + schema.len()) {
            return;
        }
        if let Some(types) = schema.get("type")
            && !kinds::is_of(value, types)
        {
            let reason = format!("it is {}, but has to be {}", kinds::named(value), kinds::wanted(types));
            return self.wrong(place, reason);
        }
        if UNKNOWN.iter().any(|keyword| schema.contains_key(*keyword)) {
            self.doubt();
        }
        self.constant(schema, value, place);
        match value {
            Value::Object(fields) => self.object(schema, fields, place, depth + 1),
            Value::Array(items) => self.array(schema, items, place, depth + 1),
            Value::String(text) => self.text(schema, text, place),
            Value::Number(number) => self.number(schema, number, place),
            Value::Null | Value::Bool(_) => {}
        }
        self.combined(schema, value, place, depth + 1);
    }

    /// What is told by references and by other schemas together.
    fn combined(&mut self, schema: &Map<String, Value>, value: &Value, place: &Place<'_>, depth: usize) {
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            match target(self.root, name) {
                Some(target) => self.evaluate(target, value, place, depth),
                None => self.doubt(),
            }
        }
        for part in list(schema, "allOf") {
            self.evaluate(part, value, place, depth);
        }
        if let Some(alternatives) = schema.get("anyOf").and_then(Value::as_array) {
            self.alternatives(alternatives, value, place, depth);
        }
        if let Some(alternatives) = schema.get("oneOf").and_then(Value::as_array) {
            let fits: Vec<_> = alternatives.iter().map(|one| self.fits(one, value, place, depth)).collect();
            let count = |fit| fits.iter().filter(|one| **one == fit).count();
            match (count(Fit::Yes), count(Fit::Perhaps)) {
                (0, 0) => self.alternatives(alternatives, value, place, depth),
                (0 | 1, _) => {}
                _ => self.wrong(place, "it fits more than one of the alternatives".into()),
            }
        }
        if schema.get("not").is_some_and(|not| self.fits(not, value, place, depth) == Fit::Yes) {
            self.wrong(place, "it is what is excluded here".into());
        }
        if let Some(condition) = schema.get("if") {
            let branch = match self.fits(condition, value, place, depth) {
                Fit::Yes => schema.get("then"),
                Fit::No => schema.get("else"),
                Fit::Perhaps => None,
            };
            if let Some(branch) = branch {
                self.evaluate(branch, value, place, depth);
            }
        }
    }

    /// At least one fits. If none does, the one is told of that fits so far as to be meant.
    fn alternatives(&mut self, alternatives: &[Value], value: &Value, place: &Place<'_>, depth: usize) {
        let mut nearest = Vec::new();
        let (found, count, unsure) = (std::mem::take(&mut self.found), self.count, self.unsure);
        let here = place.to_string().len();
        let reach = |list: &[Mismatch]| list.iter().map(|mismatch| mismatch.place.len()).max().unwrap_or_default();
        let mut fits = alternatives.is_empty();
        for alternative in alternatives {
            self.evaluate(alternative, value, place, depth);
            fits |= self.count == count;
            self.count = count;
            let list = std::mem::take(&mut self.found);
            if reach(&list) > reach(&nearest).max(here) {
                nearest = list;
            }
            if fits {
                break;
            }
            self.unsure = unsure;
        }
        self.found = found;
        if fits {
            return;
        }
        self.count += 1;
        if nearest.is_empty() {
            let reason = format!("it fits none of the {} alternatives", alternatives.len());
            nearest = vec![Mismatch { place: place.to_string(), reason }];
        }
        let room = TOLD.saturating_sub(self.found.len());
        self.found.extend(nearest.into_iter().take(room));
    }

    /// Whether a value fits, which is not told of.
    pub fn fits(&mut self, schema: &Value, value: &Value, place: &Place<'_>, depth: usize) -> Fit {
        let (found, count, unsure) = (self.found.len(), self.count, self.unsure);
        self.evaluate(schema, value, place, depth);
        self.found.truncate(found);
        if std::mem::replace(&mut self.count, count) != count {
            // What else was not decided of it makes no difference.
            self.unsure = unsure;
            return Fit::No;
        }
        if self.unsure == unsure { Fit::Yes } else { Fit::Perhaps }
    }

    /// Something is not decided.
    pub fn doubt(&mut self) {
        self.unsure += 1;
    }

    fn constant(&mut self, schema: &Map<String, Value>, value: &Value, place: &Place<'_>) {
        if let Some(constant) = schema.get("const")
            && !kinds::equal(constant, value)
        {
            self.wrong(place, format!("it has to be {}", shown(constant)));
        }
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
            && self.spend(allowed.len())
            && !allowed.iter().any(|allowed| kinds::equal(allowed, value))
        {
            self.wrong(place, format!("it has to be one of {}", listed(allowed.iter().map(shown))));
        }
    }

    /// Takes steps; `false` if there are none left.
    pub fn spend(&mut self, steps: usize) -> bool {
        self.steps = self.steps.saturating_sub(steps);
        self.steps > 0
    }

    pub fn wrong(&mut self, place: &Place<'_>, reason: String) {
        self.count += 1;
        if self.found.len() < TOLD {
            self.found.push(Mismatch { place: place.to_string(), reason });
        }
    }

    /// Whether items are all different.
    pub fn are_unique(&mut self, items: &[Value]) -> bool {
        let mut seen = HashSet::new();
        for item in items {
            let text = item.to_string();
            if !self.spend(1 + text.len() / 64) {
                return true;
            }
            if !seen.insert(text) {
                return false;
            }
        }
        true
    }
}

/// What a reference within a schema means.
pub fn target<'s>(root: &'s Value, reference: &str) -> Option<&'s Value> {
    let pointer = percent_decode_str(reference.strip_prefix('#')?).decode_utf8().ok()?;
    root.pointer(&pointer)
}

pub fn list<'s>(schema: &'s Map<String, Value>, keyword: &str) -> &'s [Value] {
    schema.get(keyword).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

pub fn listed(mut names: impl Iterator<Item = String>) -> String {
    let shown: Vec<_> = names.by_ref().take(LISTED).collect();
    let more = names.next().map_or("", |_| ", …");
    format!("{}{more}", shown.join(", "))
}
