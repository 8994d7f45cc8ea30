//! Evaluation of a value: the rules for values of every type. All work whose time depends on the value or the
//! schema spends steps.

use serde_json::Value;

use super::{
    Mismatch,
    budget::{Budget, Exhausted, Spent},
    compile::{Node, NodeId, Rule, Schema},
    kinds,
    pattern::{Pattern, Transitions},
    place::Place,
};

/// Maximum nesting depth of schemas in an evaluation, including references.
const DEPTH: usize = 160;
/// Maximum number of reported mismatches.
const TOLD: usize = 5;
/// Cost of reporting a mismatch, in steps.
const TELLING: usize = 16;

/// Result of evaluating a value against a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    Yes,
    No,
    /// No mismatch was found, but not every rule could be decided.
    Perhaps,
}

pub struct Evaluation<'s> {
    pub schema: &'s Schema,
    pub budget: Budget,
    transitions: Transitions,
    /// Mismatches to report, each with its depth in the value.
    found: Vec<(usize, Mismatch)>,
    /// Number of mismatches, including those that are not in `found`.
    count: usize,
    /// Number of rules that could not be decided, without those of parts that do not fit.
    unsure: usize,
    /// Whether mismatches are counted but not reported.
    quiet: bool,
}

impl<'s> Evaluation<'s> {
    pub fn new(schema: &'s Schema, budget: Budget) -> Self {
        let transitions = Transitions::default();
        Self { schema, budget, transitions, found: Vec::new(), count: 0, unsure: 0, quiet: false }
    }

    /// Returns the mismatches of a value.
    pub fn look(&mut self, value: &Value) -> Spent<Vec<Mismatch>> {
        self.evaluate(0, value, &Place::Root, 0)?;
        Ok(self.found.drain(..).map(|(_, mismatch)| mismatch).collect())
    }

    /// Evaluates a value against a schema. `depth` is the nesting depth of schemas.
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

    /// Evaluates references and rules that combine other schemas.
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
            // The rule is for values of another type.
            _ => Ok(()),
        }
    }

    /// Requires at least one alternative to fit. If none does, reports the mismatches of the alternative that
    /// fits deepest into the value, which is probably the intended one.
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

    /// Returns whether a value fits, without reporting mismatches.
    pub fn fits(&mut self, node: NodeId, value: &Value, place: &Place<'_>, depth: usize) -> Spent<Fit> {
        let (quiet, count, unsure) = (std::mem::replace(&mut self.quiet, true), self.count, self.unsure);
        self.evaluate(node, value, place, depth)?;
        self.quiet = quiet;
        if std::mem::replace(&mut self.count, count) != count {
            // The value does not fit, whatever the undecided rules would say.
            self.unsure = unsure;
            return Ok(Fit::No);
        }
        Ok(if self.unsure == unsure { Fit::Yes } else { Fit::Perhaps })
    }

    /// Records that a rule could not be decided.
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

    /// Returns whether a text matches a pattern, or `None` if that cannot be decided.
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
