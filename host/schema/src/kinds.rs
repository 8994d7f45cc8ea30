//! Rules for objects, arrays, strings and numbers.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::{
    budget::Spent,
    compile::{Bounds, Fields, Items, Node, Text, short},
    evaluation::{Evaluation, Fit},
    place::Place,
    values::compared,
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
    pub fn object(&mut self, rules: &Fields, fields: &Map<String, Value>, place: &Place<'_>, depth: usize) -> Spent {
        for name in &rules.required {
            if !self.has(fields, name)? {
                self.wrong(&Place::Field(place, name), || "it is missing".into())?;
            }
        }
        let about_fields =
            !rules.properties.is_empty() || !rules.patterns.is_empty() || rules.rest.is_some() || rules.names.is_some();
        for (name, value) in fields.iter().filter(|_| about_fields) {
            self.field(rules, name, value, place, depth)?;
        }
        self.size(rules.size, fields.len(), "fields", place)?;
        for (name, needed) in &rules.dependent {
            if !self.has(fields, name)? {
                continue;
            }
            for missing in needed {
                if !self.has(fields, missing)? {
                    let reason = || format!("it is missing beside `{}`", short(name));
                    self.wrong(&Place::Field(place, missing), reason)?;
                }
            }
        }
        Ok(())
    }

    fn field(&mut self, rules: &Fields, name: &str, value: &Value, place: &Place<'_>, depth: usize) -> Spent {
        self.budget.spend(1)?;
        self.budget.spend_on(name)?;
        let (here, mut is_named) = (Place::Field(place, name), false);
        if let Some(property) = rules.properties.get(name) {
            is_named = true;
            self.evaluate(*property, value, &here, depth)?;
        }
        let mut all_known = true;
        for (pattern, property) in &rules.patterns {
            self.budget.spend(1)?;
            all_known &= pattern.is_some();
            if self.matches(pattern.as_deref(), name)?.unwrap_or_default() {
                is_named = true;
                self.evaluate(*property, value, &here, depth)?;
            }
        }
        match rules.rest {
            // A pattern that could not be compiled may match this name.
            Some(_) if !is_named && !all_known => self.doubt(),
            Some(rest) if !is_named => match self.schema.node(rest) {
                Some(Node::Nothing) => {
                    self.wrong(&here, || format!("it is not known; known are: {}", rules.known))?;
                }
                _ => self.evaluate(rest, value, &here, depth)?,
            },
            _ => {}
        }
        match rules.names {
            Some(names) => self.evaluate(names, &Value::String(name.to_owned()), &here, depth),
            None => Ok(()),
        }
    }

    fn has(&mut self, fields: &Map<String, Value>, name: &str) -> Spent<bool> {
        self.budget.spend(1)?;
        self.budget.spend_on(name)?;
        Ok(fields.contains_key(name))
    }

    pub fn array(&mut self, rules: &Items, items: &[Value], place: &Place<'_>, depth: usize) -> Spent {
        let schemas = rules.first.iter().copied().chain(rules.rest.into_iter().cycle());
        for ((index, item), schema) in items.iter().enumerate().zip(schemas) {
            self.evaluate(schema, item, &Place::Item(place, index), depth)?;
        }
        self.size(rules.size, items.len(), "items", place)?;
        if rules.unique && !self.are_unique(items)? {
            self.wrong(place, || "it has the same item twice".into())?;
        }
        let Some((wanted, (least, most))) = rules.contains else { return Ok(()) };
        let (mut found, mut perhaps) = (0_u32, 0_u32);
        for item in items {
            match self.fits(wanted, item, place, depth)? {
                Fit::Yes => found += 1,
                Fit::Perhaps => perhaps += 1,
                Fit::No => {}
            }
        }
        let few = f64::from(found + perhaps) < least.unwrap_or(1.0);
        if few || most.is_some_and(|most| f64::from(found) > most) {
            self.wrong(place, || format!("{found} of its items are of the kind that it has to have"))?;
        }
        Ok(())
    }

    pub fn text(&mut self, rules: &Text, text: &str, place: &Place<'_>) -> Spent {
        if rules.size != (None, None) {
            self.budget.spend_on(text)?;
            self.size(rules.size, text.chars().count(), "characters", place)?;
        }
        if let Some((pattern, shown)) = &rules.pattern
            && self.matches(pattern.as_deref(), text)? == Some(false)
        {
            self.wrong(place, || format!("it does not match the pattern `{shown}`"))?;
        }
        Ok(())
    }

    pub fn number(
        &mut self,
        bounds: &[(Bound, Number)],
        multiple: Option<f64>,
        number: &Number,
        place: &Place<'_>,
    ) -> Spent {
        for (bound, limit) in bounds {
            let (word, allowed) = bound.meaning();
            if compared(number, limit).is_some_and(|order| !allowed.contains(&order)) {
                self.wrong(place, || format!("it is {number}, but has to be {word} {limit}"))?;
            }
        }
        if let Some(of) = multiple {
            let times = number.as_f64().unwrap_or_default() / of;
            if times.is_finite() && (times - times.round()).abs() > times.abs().max(1.0) * 1e-9 {
                self.wrong(place, || format!("it is {number}, but has to be a multiple of {of}"))?;
            }
        }
        Ok(())
    }

    fn size(&mut self, (least, most): Bounds, size: usize, what: &str, place: &Place<'_>) -> Spent {
        if let Some(least) = least.filter(|least| (size as f64) < *least) {
            self.wrong(place, || format!("it has {size} {what}, but has to have at least {least}"))?;
        }
        if let Some(most) = most.filter(|most| (size as f64) > *most) {
            self.wrong(place, || format!("it has {size} {what}, but has to have at most {most}"))?;
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
    fn meaning(self) -> (&'static str, &'static [Ordering]) {
        match self {
            Self::Minimum => ("at least", &[Ordering::Greater, Ordering::Equal]),
            Self::Maximum => ("at most", &[Ordering::Less, Ordering::Equal]),
            Self::ExclusiveMinimum => ("more than", &[Ordering::Greater]),
            Self::ExclusiveMaximum => ("less than", &[Ordering::Less]),
        }
    }
}

pub fn is_of(value: &Value, types: &[&str]) -> bool {
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

pub fn wanted(types: &[&str]) -> String {
    let name = |name: &&str| match *name {
        "null" => "null".to_owned(),
        name if name.starts_with(['a', 'i', 'o']) => format!("an {name}"),
        name => format!("a {name}"),
    };
    types.iter().map(name).collect::<Vec<_>>().join(" or ")
}
