//! Evaluation of a value: the rules for values of every type. All work whose time depends on the value or the
//! schema spends steps.

use serde_json::Value;

use super::{
    Mismatch,
    budget::{Budget, BudgetResult, Exhausted},
    compile::{Node, NodeId, Rule, Schema},
    kinds,
    pattern::{Pattern, Transitions},
    place::Place,
};

/// Maximum nesting depth of schemas in an evaluation, including references.
const MAX_DEPTH: usize = 160;
/// Maximum number of reported mismatches.
const MAX_REPORTED: usize = 32;
/// Cost of reporting a mismatch, in steps.
const REPORT_COST_STEPS: usize = 16;

/// Result of evaluating a value against a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    Yes,
    No,
    /// No mismatch was found, but not every rule could be decided.
    Undecided,
}

pub(crate) struct Evaluation<'s> {
    pub schema: &'s Schema,
    pub budget: Budget,
    transitions: Transitions,
    /// Mismatches to report, each with its depth in the value.
    reported: Vec<(usize, Mismatch)>,
    /// Number of mismatches, including those that are not in `reported`.
    mismatch_count: usize,
    /// Number of rules that could not be decided, without those of parts that do not fit.
    undecided_rules: usize,
    /// Whether mismatches are counted but not reported.
    quiet: bool,
}

impl<'s> Evaluation<'s> {
    pub(crate) fn new(schema: &'s Schema, budget: Budget) -> Self {
        let transitions = Transitions::default();
        Self { schema, budget, transitions, reported: Vec::new(), mismatch_count: 0, undecided_rules: 0, quiet: false }
    }

    /// Returns the mismatches of a value.
    pub(crate) fn evaluate_root(&mut self, value: &Value) -> BudgetResult<Vec<Mismatch>> {
        self.evaluate(0, value, &Place::Root, 0)?;
        Ok(self.reported.drain(..).map(|(_, mismatch)| mismatch).collect())
    }

    /// Evaluates a value against a schema. `depth` is the nesting depth of schemas.
    pub(crate) fn evaluate(&mut self, node: NodeId, value: &Value, place: &Place<'_>, depth: usize) -> BudgetResult {
        self.budget.spend(1)?;
        let rules = match self.schema.node(node) {
            Some(Node::Rules(rules)) => rules,
            Some(Node::Nothing) => return self.report(place, || "nothing is allowed here".into()),
            Some(Node::Anything) | None => return Ok(()),
        };
        if depth > MAX_DEPTH {
            return Err(Exhausted);
        }
        self.budget.spend(rules.len())?;
        for rule in rules {
            match (rule, value) {
                (Rule::Type(types), value) if !kinds::has_type(value, types) => {
                    let reason = || {
                        format!("it is {}, but has to be {}", kinds::type_with_article(value), kinds::join_types(types))
                    };
                    return self.report(place, reason);
                }
                (Rule::Unsupported, _) => self.record_undecided(),
                (Rule::Const(constant, display), value) => {
                    if !self.equal(constant, value)? {
                        self.report(place, || format!("it has to be {display}"))?;
                    }
                }
                (Rule::Enum(allowed, display), value) => {
                    if !self.is_one_of(allowed, value)? {
                        self.report(place, || format!("it has to be one of {display}"))?;
                    }
                }
                (Rule::Object(rules), Value::Object(fields)) => self.check_object(rules, fields, place, depth + 1)?,
                (Rule::Array(rules), Value::Array(items)) => self.check_array(rules, items, place, depth + 1)?,
                (Rule::Text(rules), Value::String(text)) => self.check_string(rules, text, place)?,
                (Rule::Number(bounds, factor), Value::Number(number)) => {
                    self.check_number(bounds, *factor, number, place)?
                }
                (rule, value) => self.evaluate_combinator(rule, value, place, depth + 1)?,
            }
        }
        Ok(())
    }

    /// Evaluates references and rules that combine other schemas.
    fn evaluate_combinator(&mut self, rule: &Rule, value: &Value, place: &Place<'_>, depth: usize) -> BudgetResult {
        match rule {
            Rule::Ref(Some(target)) => self.evaluate(*target, value, place, depth),
            Rule::Ref(None) => {
                self.record_undecided();
                Ok(())
            }
            Rule::AllOf(parts) => parts.iter().try_for_each(|part| self.evaluate(*part, value, place, depth)),
            Rule::AnyOf(alternatives) => self.evaluate_any_of(alternatives, value, place, depth),
            Rule::OneOf(alternatives) => {
                let (mut matching, mut undecided) = (0, 0);
                for one in alternatives {
                    match self.fits(*one, value, place, depth)? {
                        Fit::Yes => matching += 1,
                        Fit::Undecided => undecided += 1,
                        Fit::No => {}
                    }
                }
                match (matching, undecided) {
                    (0, 0) => self.evaluate_any_of(alternatives, value, place, depth),
                    (0 | 1, _) => Ok(()),
                    _ => self.report(place, || "it fits more than one of the alternatives".into()),
                }
            }
            Rule::Not(excluded) => match self.fits(*excluded, value, place, depth)? {
                Fit::Yes => self.report(place, || "it is what is excluded here".into()),
                Fit::No | Fit::Undecided => Ok(()),
            },
            Rule::If(condition, then, otherwise) => {
                let branch = match self.fits(*condition, value, place, depth)? {
                    Fit::Yes => *then,
                    Fit::No => *otherwise,
                    Fit::Undecided => None,
                };
                branch.map_or(Ok(()), |branch| self.evaluate(branch, value, place, depth))
            }
            // The rule is for values of another type.
            _ => Ok(()),
        }
    }

    /// Requires at least one alternative to fit. If none does, reports the mismatches of the alternative that
    /// fits deepest into the value, which is probably the intended one.
    fn evaluate_any_of(
        &mut self,
        alternatives: &[NodeId],
        value: &Value,
        place: &Place<'_>,
        depth: usize,
    ) -> BudgetResult {
        let mut best = Vec::new();
        let (reported, mismatch_count, undecided_rules) =
            (std::mem::take(&mut self.reported), self.mismatch_count, self.undecided_rules);
        let max_depth = |list: &[(usize, Mismatch)]| list.iter().map(|(depth, _)| *depth).max().unwrap_or_default();
        let mut fits = alternatives.is_empty();
        for alternative in alternatives {
            self.evaluate(*alternative, value, place, depth)?;
            fits |= self.mismatch_count == mismatch_count;
            self.mismatch_count = mismatch_count;
            let list = std::mem::take(&mut self.reported);
            if !list.is_empty() && max_depth(&list) > max_depth(&best).max(place.depth()) {
                best = list;
            }
            if fits {
                break;
            }
            self.undecided_rules = undecided_rules;
        }
        self.reported = reported;
        if fits {
            return Ok(());
        }
        if best.is_empty() {
            return self.report(place, || format!("it fits none of the {} alternatives", alternatives.len()));
        }
        self.mismatch_count += 1;
        let remaining = MAX_REPORTED.saturating_sub(self.reported.len());
        self.reported.extend(best.into_iter().take(remaining));
        Ok(())
    }

    /// Returns whether a value fits, without reporting mismatches.
    pub(crate) fn fits(&mut self, node: NodeId, value: &Value, place: &Place<'_>, depth: usize) -> BudgetResult<Fit> {
        let (quiet, mismatch_count, undecided_rules) =
            (std::mem::replace(&mut self.quiet, true), self.mismatch_count, self.undecided_rules);
        self.evaluate(node, value, place, depth)?;
        self.quiet = quiet;
        if std::mem::replace(&mut self.mismatch_count, mismatch_count) != mismatch_count {
            // The value does not fit, whatever the undecided rules would say.
            self.undecided_rules = undecided_rules;
            return Ok(Fit::No);
        }
        Ok(if self.undecided_rules == undecided_rules { Fit::Yes } else { Fit::Undecided })
    }

    /// Records that a rule could not be decided.
    pub(crate) fn record_undecided(&mut self) {
        self.undecided_rules += 1;
    }

    pub(crate) fn report(&mut self, place: &Place<'_>, reason: impl FnOnce() -> String) -> BudgetResult {
        self.mismatch_count += 1;
        if !self.quiet && self.reported.len() < MAX_REPORTED {
            let depth = place.depth();
            self.budget.spend(REPORT_COST_STEPS + depth)?;
            self.reported.push((depth, Mismatch { place: place.to_string(), reason: reason() }));
        }
        Ok(())
    }

    /// Returns whether a text matches a pattern, or `None` if that cannot be decided.
    pub(crate) fn matches(&mut self, pattern: Option<&Pattern>, text: &str) -> BudgetResult<Option<bool>> {
        let result = match pattern {
            Some(pattern) => pattern.matches(text, &mut self.transitions, &mut self.budget)?,
            None => None,
        };
        if result.is_none() {
            self.record_undecided();
        }
        Ok(result)
    }
}
