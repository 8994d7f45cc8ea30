//! One look at a value: what holds for values of every kind. All that takes time with a value or a schema spends
//! steps.

use serde_json::Value;

use super::{
    Mismatch,
    budget::{Budget, Exhausted, Spent},
    compile::{Node, NodeId, Rule, Schema},
    kinds,
    pattern::{Pattern, Transitions},
    place::Place,
};

/// How deeply schemas may nest in it, references followed.
const DEPTH: usize = 160;
/// How much is told of what is wrong.
const TOLD: usize = 5;
/// What it takes to tell of one thing, in steps.
const TELLING: usize = 16;

/// Whether a value fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    Yes,
    No,
    /// As far as was looked at, it does.
    Perhaps,
}

pub struct Evaluation<'s> {
    pub schema: &'s Schema,
    pub budget: Budget,
    transitions: Transitions,
    /// With how deep in the value each is.
    found: Vec<(usize, Mismatch)>,
    /// How much does not fit; not all of it is found.
    count: usize,
    /// How much could not be decided of what fits so far.
    unsure: usize,
    /// Whether nobody will be told of what is wrong.
    quiet: bool,
}

impl<'s> Evaluation<'s> {
    pub fn new(schema: &'s Schema, budget: Budget) -> Self {
        let transitions = Transitions::default();
        Self { schema, budget, transitions, found: Vec::new(), count: 0, unsure: 0, quiet: false }
    }

    /// What is wrong with a value.
    pub fn look(&mut self, value: &Value) -> Spent<Vec<Mismatch>> {
        self.evaluate(0, value, &Place::Root, 0)?;
        Ok(self.found.drain(..).map(|(_, mismatch)| mismatch).collect())
    }

    /// Holds a value against a schema, at a depth of schemas.
    pub fn evaluate(&mut self, node: NodeId, value: &Value, place: &Place<'_>, depth: usize) -> Spent {
        self.budget.spend(1)?;
        let rules = match self.schema.node(node) {
            Some(Node::Rules(rules)) => rules,
            Some(Node::Nothing) => return self.wrong(place, || "nothing is allowed here".into()),
            Some(Node::Anything) | None => return Ok(()),
        };
        if depth > DEPTH {
            return Err(Exhausted);
        }
        self.budget.spend(rules.len())?;
        for rule in rules {
            match (rule, value) {
                (Rule::Type(types), value) if !kinds::is_of(value, types) => {
                    let reason = || format!("it is {}, but has to be {}", kinds::named(value), kinds::wanted(types));
                    return self.wrong(place, reason);
                }
                (Rule::Unknown, _) => self.doubt(),
                (Rule::Const(constant, shown), value) => {
                    if !self.equal(constant, value)? {
                        self.wrong(place, || format!("it has to be {shown}"))?;
                    }
                }
                (Rule::Enum(allowed, shown), value) => {
                    if !self.is_one_of(allowed, value)? {
                        self.wrong(place, || format!("it has to be one of {shown}"))?;
                    }
                }
                (Rule::Object(rules), Value::Object(fields)) => self.object(rules, fields, place, depth + 1)?,
                (Rule::Array(rules), Value::Array(items)) => self.array(rules, items, place, depth + 1)?,
                (Rule::Text(rules), Value::String(text)) => self.text(rules, text, place)?,
                (Rule::Number(bounds, of), Value::Number(number)) => self.number(bounds, *of, number, place)?,
                (rule, value) => self.combined(rule, value, place, depth + 1)?,
            }
        }
        Ok(())
    }

    /// What is told by references and by other schemas together.
    fn combined(&mut self, rule: &Rule, value: &Value, place: &Place<'_>, depth: usize) -> Spent {
        match rule {
            Rule::Ref(Some(target)) => self.evaluate(*target, value, place, depth),
            Rule::Ref(None) => {
                self.doubt();
                Ok(())
            }
            Rule::AllOf(parts) => parts.iter().try_for_each(|part| self.evaluate(*part, value, place, depth)),
            Rule::AnyOf(alternatives) => self.alternatives(alternatives, value, place, depth),
            Rule::OneOf(alternatives) => {
                let (mut fitting, mut perhaps) = (0, 0);
                for one in alternatives {
                    match self.fits(*one, value, place, depth)? {
                        Fit::Yes => fitting += 1,
                        Fit::Perhaps => perhaps += 1,
                        Fit::No => {}
                    }
                }
                match (fitting, perhaps) {
                    (0, 0) => self.alternatives(alternatives, value, place, depth),
                    (0 | 1, _) => Ok(()),
                    _ => self.wrong(place, || "it fits more than one of the alternatives".into()),
                }
            }
            Rule::Not(excluded) => match self.fits(*excluded, value, place, depth)? {
                Fit::Yes => self.wrong(place, || "it is what is excluded here".into()),
                Fit::No | Fit::Perhaps => Ok(()),
            },
            Rule::If(condition, then, otherwise) => {
                let branch = match self.fits(*condition, value, place, depth)? {
                    Fit::Yes => *then,
                    Fit::No => *otherwise,
                    Fit::Perhaps => None,
                };
                branch.map_or(Ok(()), |branch| self.evaluate(branch, value, place, depth))
            }
            // For values of another kind.
            _ => Ok(()),
        }
    }

    /// At least one fits. If none does, the one is told of that fits so far as to be meant.
    fn alternatives(&mut self, alternatives: &[NodeId], value: &Value, place: &Place<'_>, depth: usize) -> Spent {
        let mut nearest = Vec::new();
        let (found, count, unsure) = (std::mem::take(&mut self.found), self.count, self.unsure);
        let reach = |list: &[(usize, Mismatch)]| list.iter().map(|(depth, _)| *depth).max().unwrap_or_default();
        let mut fits = alternatives.is_empty();
        for alternative in alternatives {
            self.evaluate(*alternative, value, place, depth)?;
            fits |= self.count == count;
            self.count = count;
            let list = std::mem::take(&mut self.found);
            if !list.is_empty() && reach(&list) > reach(&nearest).max(place.depth()) {
                nearest = list;
            }
            if fits {
                break;
            }
            self.unsure = unsure;
        }
        self.found = found;
        if fits {
            return Ok(());
        }
        if nearest.is_empty() {
            return self.wrong(place, || format!("it fits none of the {} alternatives", alternatives.len()));
        }
        self.count += 1;
        let room = TOLD.saturating_sub(self.found.len());
        self.found.extend(nearest.into_iter().take(room));
        Ok(())
    }

    /// Whether a value fits, which is not told of.
    pub fn fits(&mut self, node: NodeId, value: &Value, place: &Place<'_>, depth: usize) -> Spent<Fit> {
        let (quiet, count, unsure) = (std::mem::replace(&mut self.quiet, true), self.count, self.unsure);
        self.evaluate(node, value, place, depth)?;
        self.quiet = quiet;
        if std::mem::replace(&mut self.count, count) != count {
            // What else was not decided of it makes no difference.
            self.unsure = unsure;
            return Ok(Fit::No);
        }
        Ok(if self.unsure == unsure { Fit::Yes } else { Fit::Perhaps })
    }

    /// Something is not decided.
    pub fn doubt(&mut self) {
        self.unsure += 1;
    }

    pub fn wrong(&mut self, place: &Place<'_>, reason: impl FnOnce() -> String) -> Spent {
        self.count += 1;
        if !self.quiet && self.found.len() < TOLD {
            let depth = place.depth();
            self.budget.spend(TELLING + depth)?;
            self.found.push((depth, Mismatch { place: place.to_string(), reason: reason() }));
        }
        Ok(())
    }

    /// Whether a text matches, if that can be known.
    pub fn matches(&mut self, pattern: Option<&Pattern>, text: &str) -> Spent<Option<bool>> {
        let known = match pattern {
            Some(pattern) => pattern.matches(text, &mut self.transitions, &mut self.budget)?,
            None => None,
        };
        if known.is_none() {
            self.doubt();
        }
        Ok(known)
    }
}
