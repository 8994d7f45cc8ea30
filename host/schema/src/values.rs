//! Equality of values. 1 equals 1.0.

use std::{
    cmp::Ordering,
    collections::HashMap,
    hash::{BuildHasher, Hash as _, Hasher, RandomState},
};

use serde_json::{Number, Value};

use super::{budget::BudgetResult, evaluation::Evaluation};

impl Evaluation<'_> {
    pub(crate) fn equal(&mut self, one: &Value, other: &Value) -> BudgetResult<bool> {
        self.budget.spend(1)?;
        match (one, other) {
            (Value::Number(one), Value::Number(other)) => Ok(compare(one, other) == Some(Ordering::Equal)),
            (Value::String(one), Value::String(other)) if one.len() == other.len() => {
                self.budget.spend_for_text(one)?;
                Ok(one == other)
            }
            (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
                for (one, other) in one.iter().zip(other) {
                    if !self.equal(one, other)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Value::Object(one), Value::Object(other)) if one.len() == other.len() => {
                for (name, one) in one {
                    self.budget.spend_for_text(name)?;
                    let Some(other) = other.get(name) else { return Ok(false) };
                    if !self.equal(one, other)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Value::Null, Value::Null) => Ok(true),
            (Value::Bool(one), Value::Bool(other)) => Ok(one == other),
            _ => Ok(false),
        }
    }

    pub(crate) fn is_one_of(&mut self, allowed: &[Value], value: &Value) -> BudgetResult<bool> {
        for allowed in allowed {
            if self.equal(allowed, value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns whether all items are different.
    pub(crate) fn are_unique(&mut self, items: &[Value]) -> BudgetResult<bool> {
        let (state, mut seen) = (RandomState::new(), HashMap::new());
        for item in items {
            let mut hasher = state.build_hasher();
            self.hash(item, &mut hasher)?;
            let other = seen.insert(hasher.finish(), item);
            // Equal hashes of different items are too unlikely to handle.
            if let Some(other) = other
                && self.equal(other, item)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn hash(&mut self, value: &Value, hasher: &mut impl Hasher) -> BudgetResult {
        self.budget.spend(1)?;
        std::mem::discriminant(value).hash(hasher);
        match value {
            Value::Null => {}
            Value::Bool(value) => value.hash(hasher),
            Value::Number(number) => hash_number(number, hasher),
            Value::String(text) => {
                self.budget.spend_for_text(text)?;
                text.hash(hasher);
            }
            Value::Array(items) => {
                items.len().hash(hasher);
                for item in items {
                    self.hash(item, hasher)?;
                }
            }
            Value::Object(fields) => {
                fields.len().hash(hasher);
                for (name, value) in fields {
                    self.budget.spend_for_text(name)?;
                    name.hash(hasher);
                    self.hash(value, hasher)?;
                }
            }
        }
        Ok(())
    }
}

/// Hashes whole numbers by value, however they are written.
fn hash_number(number: &Number, hasher: &mut impl Hasher) {
    if let Some(whole) = number.as_i128() {
        return whole.hash(hasher);
    }
    let number = number.as_f64().unwrap_or_default();
    match number.fract() == 0.0 && number.abs() < i64::MAX as f64 {
        true => (number as i128).hash(hasher),
        false => number.to_bits().hash(hasher),
    }
}

pub(crate) fn compare(one: &Number, other: &Number) -> Option<Ordering> {
    if let (Some(one), Some(other)) = (one.as_i64(), other.as_i64()) {
        return Some(one.cmp(&other));
    }
    if let (Some(one), Some(other)) = (one.as_u64(), other.as_u64()) {
        return Some(one.cmp(&other));
    }
    one.as_f64()?.partial_cmp(&other.as_f64()?)
}
