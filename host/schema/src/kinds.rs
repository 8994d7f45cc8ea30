//! Rules for objects, arrays, strings and numbers.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::{
    budget::BudgetResult,
    compile::{ArrayRules, Bounds, Node, ObjectRules, StringRules, truncate},
    evaluation::{Evaluation, Fit},
    place::Place,
    values::compare,
};

/// A bound for numbers.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    Minimum,
    Maximum,
    ExclusiveMinimum,
    ExclusiveMaximum,
}

impl Evaluation<'_> {
    pub(crate) fn check_object(
        &mut self,
        rules: &ObjectRules,
        fields: &Map<String, Value>,
        place: &Place<'_>,
        depth: usize,
    ) -> BudgetResult {
        for name in &rules.required {
            if !self.has_field(fields, name)? {
                self.report(&Place::Field(place, name), || "it is missing".into())?;
            }
        }
        let checks_fields = !rules.properties.is_empty()
            || !rules.patterns.is_empty()
            || rules.rest.is_some()
            || rules.name_schema.is_some();
        for (name, value) in fields.iter().filter(|_| checks_fields) {
            self.check_field(rules, name, value, place, depth)?;
        }
        self.check_size(rules.size, fields.len(), "fields", place)?;
        for (name, needed) in &rules.dependent_required {
            if !self.has_field(fields, name)? {
                continue;
            }
            for missing in needed {
                if !self.has_field(fields, missing)? {
                    let reason = || format!("it is missing beside `{}`", truncate(name));
                    self.report(&Place::Field(place, missing), reason)?;
                }
            }
        }
        Ok(())
    }

    fn check_field(
        &mut self,
        rules: &ObjectRules,
        name: &str,
        value: &Value,
        place: &Place<'_>,
        depth: usize,
    ) -> BudgetResult {
        self.budget.spend(1)?;
        self.budget.spend_for_text(name)?;
        let (field_place, mut is_matched) = (Place::Field(place, name), false);
        if let Some(property) = rules.properties.get(name) {
            is_matched = true;
            self.evaluate(*property, value, &field_place, depth)?;
        }
        let mut all_decided = true;
        for (pattern, property) in &rules.patterns {
            self.budget.spend(1)?;
            all_decided &= pattern.is_some();
            if self.matches(pattern.as_deref(), name)?.unwrap_or_default() {
                is_matched = true;
                self.evaluate(*property, value, &field_place, depth)?;
            }
        }
        match rules.rest {
            // A pattern that could not be compiled may match this name.
            Some(_) if !is_matched && !all_decided => self.record_undecided(),
            Some(rest) if !is_matched => match self.schema.node(rest) {
                Some(Node::Nothing) => {
                    self.report(&field_place, || format!("it is not known; known are: {}", rules.property_list))?;
                }
                _ => self.evaluate(rest, value, &field_place, depth)?,
            },
            _ => {}
        }
        match rules.name_schema {
            Some(names) => self.evaluate(names, &Value::String(name.to_owned()), &field_place, depth),
            None => Ok(()),
        }
    }

    fn has_field(&mut self, fields: &Map<String, Value>, name: &str) -> BudgetResult<bool> {
        self.budget.spend(1)?;
        self.budget.spend_for_text(name)?;
        Ok(fields.contains_key(name))
    }

    pub(crate) fn check_array(
        &mut self,
        rules: &ArrayRules,
        items: &[Value],
        place: &Place<'_>,
        depth: usize,
    ) -> BudgetResult {
        let schemas = rules.prefix.iter().copied().chain(rules.rest.into_iter().cycle());
        for ((index, item), schema) in items.iter().enumerate().zip(schemas) {
            self.evaluate(schema, item, &Place::Item(place, index), depth)?;
        }
        self.check_size(rules.size, items.len(), "items", place)?;
        if rules.unique && !self.are_unique(items)? {
            self.report(place, || "it has the same item twice".into())?;
        }
        let Some((wanted, (min, max))) = rules.contains else { return Ok(()) };
        let (mut found, mut undecided) = (0_u32, 0_u32);
        for item in items {
            match self.fits(wanted, item, place, depth)? {
                Fit::Yes => found += 1,
                Fit::Undecided => undecided += 1,
                Fit::No => {}
            }
        }
        let too_few = f64::from(found + undecided) < min.unwrap_or(1.0);
        if too_few || max.is_some_and(|max| f64::from(found) > max) {
            self.report(place, || format!("{found} of its items are of the kind that it has to have"))?;
        }
        Ok(())
    }

    pub(crate) fn check_string(&mut self, rules: &StringRules, text: &str, place: &Place<'_>) -> BudgetResult {
        if rules.size != (None, None) {
            self.budget.spend_for_text(text)?;
            self.check_size(rules.size, text.chars().count(), "characters", place)?;
        }
        if let Some((pattern, display)) = &rules.pattern
            && self.matches(pattern.as_deref(), text)? == Some(false)
        {
            self.report(place, || format!("it does not match the pattern `{display}`"))?;
        }
        Ok(())
    }

    pub(crate) fn check_number(
        &mut self,
        bounds: &[(Bound, Number)],
        multiple: Option<f64>,
        number: &Number,
        place: &Place<'_>,
    ) -> BudgetResult {
        for (bound, limit) in bounds {
            let (word, allowed) = bound.wording_and_orderings();
            if compare(number, limit).is_some_and(|order| !allowed.contains(&order)) {
                self.report(place, || format!("it is {number}, but has to be {word} {limit}"))?;
            }
        }
        if let Some(factor) = multiple {
            let times = number.as_f64().unwrap_or_default() / factor;
            if times.is_finite() && (times - times.round()).abs() > times.abs().max(1.0) * 1e-9 {
                self.report(place, || format!("it is {number}, but has to be a multiple of {factor}"))?;
            }
        }
        Ok(())
    }

    fn check_size(&mut self, (min, max): Bounds, size: usize, what: &str, place: &Place<'_>) -> BudgetResult {
        if let Some(min) = min.filter(|min| (size as f64) < *min) {
            self.report(place, || format!("it has {size} {what}, but has to have at least {min}"))?;
        }
        if let Some(max) = max.filter(|max| (size as f64) > *max) {
            self.report(place, || format!("it has {size} {what}, but has to have at most {max}"))?;
        }
        Ok(())
    }
}

impl Bound {
    pub const ALL: [Self; 4] = [Self::Minimum, Self::Maximum, Self::ExclusiveMinimum, Self::ExclusiveMaximum];

    pub fn keyword(self) -> &'static str {
        match self {
            Self::Minimum => "minimum",
            Self::Maximum => "maximum",
            Self::ExclusiveMinimum => "exclusiveMinimum",
            Self::ExclusiveMaximum => "exclusiveMaximum",
        }
    }

    /// Returns the bound in words, and how a number that satisfies it compares to it.
    fn wording_and_orderings(self) -> (&'static str, &'static [Ordering]) {
        match self {
            Self::Minimum => ("at least", &[Ordering::Greater, Ordering::Equal]),
            Self::Maximum => ("at most", &[Ordering::Less, Ordering::Equal]),
            Self::ExclusiveMinimum => ("more than", &[Ordering::Greater]),
            Self::ExclusiveMaximum => ("less than", &[Ordering::Less]),
        }
    }
}

pub(crate) fn has_type(value: &Value, types: &[&str]) -> bool {
    types.iter().any(|name| match *name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => true,
    })
}

pub(crate) fn type_with_article(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

pub(crate) fn join_types(types: &[&str]) -> String {
    let name = |name: &&str| match *name {
        "null" => "null".to_owned(),
        name if name.starts_with(['a', 'i', 'o']) => format!("an {name}"),
        name => format!("a {name}"),
    };
    types.iter().map(name).collect::<Vec<_>>().join(" or ")
}
