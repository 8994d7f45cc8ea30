//! What holds for values of one kind.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::{
    evaluation::{Evaluation, Fit, list, listed},
    place::Place,
};

const MANY: &str = "items";

impl Evaluation<'_> {
    pub fn object(
        &mut self,
        schema: &Map<String, Value>,
        fields: &Map<String, Value>,
        place: &Place<'_>,
        depth: usize,
    ) {
        for name in list(schema, "required").iter().filter_map(Value::as_str) {
            if self.spend(1) && !fields.contains_key(name) {
                self.wrong(&Place::Field(place, name), "it is missing".into());
            }
        }
        let known = schema.get("properties").and_then(Value::as_object);
        let patterns = schema.get("patternProperties").and_then(Value::as_object);
        for (name, value) in fields {
            let (here, mut is_named) = (Place::Field(place, name), false);
            if let Some(property) = known.and_then(|known| known.get(name)) {
                is_named = true;
                self.evaluate(property, value, &here, depth);
            }
            for (pattern, property) in patterns.into_iter().flatten() {
                if self.matches(pattern, name).unwrap_or_default() {
                    is_named = true;
                    self.evaluate(property, value, &here, depth);
                }
            }
            match schema.get("additionalProperties") {
                // One whose pattern is not known may be meant.
                Some(_) if !is_named && !self.knows(patterns) => self.doubt(),
                Some(Value::Bool(false)) if !is_named => {
                    let names = known.into_iter().flat_map(Map::keys).map(|name| format!("`{name}`"));
                    self.wrong(&here, format!("it is not known; known are: {}", listed(names)));
                }
                Some(rest) if !is_named => self.evaluate(rest, value, &here, depth),
                _ => {}
            }
            if let Some(names) = schema.get("propertyNames") {
                self.evaluate(names, &Value::String(name.clone()), &here, depth);
            }
        }
        self.size(schema, ("minProperties", "maxProperties"), fields.len(), "fields", place);
        for (name, needed) in schema.get("dependentRequired").and_then(Value::as_object).into_iter().flatten() {
            let needed = needed.as_array().into_iter().flatten().filter_map(Value::as_str);
            for missing in needed.filter(|needed| fields.contains_key(name) && !fields.contains_key(*needed)) {
                self.wrong(&Place::Field(place, missing), format!("it is missing beside `{name}`"));
            }
        }
    }

    pub fn array(&mut self, schema: &Map<String, Value>, items: &[Value], place: &Place<'_>, depth: usize) {
        let older = schema.get("items").filter(|items| items.is_array());
        let first = if older.is_some() { list(schema, "items") } else { list(schema, "prefixItems") };
        let rest = if older.is_some() { schema.get("additionalItems") } else { schema.get("items") };
        for (index, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(index).or(rest) {
                self.evaluate(schema, item, &Place::Item(place, index), depth);
            }
        }
        self.size(schema, ("minItems", "maxItems"), items.len(), MANY, place);
        if schema.get("uniqueItems") == Some(&Value::Bool(true)) && !self.are_unique(items) {
            self.wrong(place, "it has the same item twice".into());
        }
        if let Some(wanted) = schema.get("contains") {
            let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
            let fits: Vec<_> = items.iter().map(|item| self.fits(wanted, item, place, depth)).collect();
            let count = |fit| fits.iter().filter(|one| **one == fit).count();
            let (found, perhaps) = (count(Fit::Yes), count(Fit::Perhaps));
            let few = ((found + perhaps) as f64) < bound("minContains").unwrap_or(1.0);
            if few || bound("maxContains").is_some_and(|most| found as f64 > most) {
                self.wrong(place, format!("{found} of its items are of the kind that it has to have"));
            }
        }
    }

    pub fn text(&mut self, schema: &Map<String, Value>, text: &str, place: &Place<'_>) {
        let bounds = ("minLength", "maxLength");
        if (schema.contains_key(bounds.0) || schema.contains_key(bounds.1)) && self.spend(text.len() / 64) {
            self.size(schema, bounds, text.chars().count(), "characters", place);
        }
        if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
            && self.matches(pattern, text) == Some(false)
        {
            let shown: String = pattern.chars().take(200).collect();
            self.wrong(place, format!("it does not match the pattern `{shown}`"));
        }
    }

    pub fn number(&mut self, schema: &Map<String, Value>, number: &Number, place: &Place<'_>) {
        let bounds: [(&str, &str, &[Ordering]); 4] = [
            ("minimum", "at least", &[Ordering::Greater, Ordering::Equal]),
            ("maximum", "at most", &[Ordering::Less, Ordering::Equal]),
            ("exclusiveMinimum", "more than", &[Ordering::Greater]),
            ("exclusiveMaximum", "less than", &[Ordering::Less]),
        ];
        for (keyword, word, allowed) in bounds {
            if let Some(Value::Number(bound)) = schema.get(keyword)
                && compared(number, bound).is_some_and(|order| !allowed.contains(&order))
            {
                self.wrong(place, format!("it is {number}, but has to be {word} {bound}"));
            }
        }
        if let Some(of) = schema.get("multipleOf").and_then(Value::as_f64).filter(|of| *of > 0.0) {
            let times = number.as_f64().unwrap_or_default() / of;
            if times.is_finite() && (times - times.round()).abs() > times.abs().max(1.0) * 1e-9 {
                self.wrong(place, format!("it is {number}, but has to be a multiple of {of}"));
            }
        }
    }

    fn size(
        &mut self,
        schema: &Map<String, Value>,
        (least, most): (&str, &str),
        size: usize,
        what: &str,
        place: &Place<'_>,
    ) {
        let bound = |keyword| schema.get(keyword).and_then(Value::as_f64);
        if let Some(least) = bound(least).filter(|least| (size as f64) < *least) {
            self.wrong(place, format!("it has {size} {what}, but has to have at least {least}"));
        }
        if let Some(most) = bound(most).filter(|most| (size as f64) > *most) {
            self.wrong(place, format!("it has {size} {what}, but has to have at most {most}"));
        }
    }

    /// Whether a text matches, if that can be known.
    fn matches(&mut self, pattern: &str, text: &str) -> Option<bool> {
        let regex = self.patterns.get(pattern);
        let known = regex.filter(|_| self.spend(1 + text.len() / 16)).map(|regex| regex.is_match(text));
        if known.is_none() {
            self.doubt();
        }
        known
    }

    fn knows(&self, patterns: Option<&Map<String, Value>>) -> bool {
        patterns.into_iter().flat_map(Map::keys).all(|pattern| self.patterns.get(pattern).is_some())
    }
}

pub fn is_of(value: &Value, types: &Value) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => true,
    };
    match types {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}

pub fn named(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

pub fn wanted(types: &Value) -> String {
    let name = |name: &Value| match name.as_str() {
        Some("null") => "null".to_owned(),
        Some(name) if name.starts_with(['a', 'i', 'o']) => format!("an {name}"),
        Some(name) => format!("a {name}"),
        None => String::new(),
    };
    match types {
        Value::Array(names) => names.iter().map(name).collect::<Vec<_>>().join(" or "),
        other => name(other),
    }
}

/// Whether two values are the same. 1 is 1.0.
pub fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => compared(one, other) == Some(Ordering::Equal),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |(name, value): (&String, &Value)| other.get(name).is_some_and(|other| equal(value, other));
            one.len() == other.len() && one.iter().all(same)
        }
        _ => one == other,
    }
}

fn compared(one: &Number, other: &Number) -> Option<Ordering> {
    if let (Some(one), Some(other)) = (one.as_i64(), other.as_i64()) {
        return Some(one.cmp(&other));
    }
    if let (Some(one), Some(other)) = (one.as_u64(), other.as_u64()) {
        return Some(one.cmp(&other));
    }
    one.as_f64()?.partial_cmp(&other.as_f64()?)
}
