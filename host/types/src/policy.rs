//! The tool policy of an agent: which tools its model may call, and which need approval.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{
    components::Hints,
    digest::Digest,
    error::{self, Error},
    ids::QuestionId,
    questions::{Decision, DecisionScope, Question},
};

/// Maximum number of patterns per field of a policy.
pub const MAX_PATTERNS: usize = 256;
/// Maximum length of a pattern, in bytes: a skill's name, two underscores and a tool's name.
pub const MAX_PATTERN_BYTES: usize = 130;

/// What is asked, allowed and denied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "ToolPolicy")]
pub struct Policy {
    /// By the name that the model calls a tool by, such as `notes__add`, where `*` stands for anything.
    /// Of several that match the longest counts. A tool that none matches is allowed, or asked about if
    /// its skill wants that. `ask_user` is the model's own way to ask; a pattern of its name can deny it.
    pub tools: BTreeMap<String, Verdict>,
    /// Tools whose effect is the same if they are called twice: a call that a crash cut off is made
    /// again. Others are not, and the model is told that their outcome is unknown.
    pub idempotent: BTreeSet<String>,
    /// Whether a token may approve what a run that it started wants to do.
    pub self_approval: bool,
    /// Whether clients of OpenAI's API may bring tools of their own, which they carry out themselves.
    pub client_tools: bool,
    /// Patterns that match no tool that the agent has now: they may be misspelt. Ignored in requests.
    #[serde(deserialize_with = "ignored")]
    pub unmatched: Vec<String>,
}

fn ignored<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Vec::<String>::deserialize(deserializer).map(|_| Vec::new())
}

/// What holds for a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Verdict {
    /// It is called as the model wants.
    Allow,
    /// A person has to approve each call.
    Ask,
    /// The model is not shown it.
    Deny,
}

/// A decision that holds for more than one call.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "StandingDecision")]
pub struct Standing {
    /// The approval that it was given on.
    pub question_id: QuestionId,
    /// The tool, as the model calls it.
    pub tool: String,
    /// The component that it is a tool of.
    pub digest: Digest,
    /// The arguments that it is about.
    pub arguments: Value,
    pub decision: Decision,
    /// For how long it holds.
    pub scope: DecisionScope,
    /// A token's id, or `local`.
    pub decided_by: String,
    /// When (RFC 3339, UTC).
    pub decided_at: String,
}

impl Standing {
    /// Returns the decision of an answered approval.
    pub fn from_approval(approval: Question) -> Option<Self> {
        Some(Self {
            question_id: approval.question_id,
            tool: approval.tool,
            digest: approval.digest?,
            arguments: approval.arguments?,
            decision: approval.decision?,
            scope: approval.scope?,
            decided_by: approval.answered_by?,
            decided_at: approval.ended_at?,
        })
    }
}

impl Policy {
    /// Returns the verdict on a tool. `tool` is the name by which the model calls it.
    pub fn verdict(&self, tool: &str, hints: Option<&Hints>) -> Verdict {
        // The longest pattern wins; of equally long ones, the stricter verdict.
        let matching = self.tools.iter().filter(|(pattern, _)| matches(pattern, tool));
        match matching.max_by_key(|(pattern, verdict)| (pattern.len(), **verdict)) {
            Some((_, verdict)) => *verdict,
            None if hints.is_some_and(|hints| hints.requires_approval) => Verdict::Ask,
            None => Verdict::Allow,
        }
    }

    /// Returns whether an interrupted call may be repeated.
    pub fn repeats(&self, tool: &str) -> bool {
        self.idempotent.iter().any(|pattern| matches(pattern, tool))
    }

    /// Returns the patterns that match none of these tools.
    pub fn unmatched(&self, tools: &[String]) -> Vec<String> {
        let patterns = self.tools.keys().chain(&self.idempotent).collect::<BTreeSet<_>>();
        let matches_one = |pattern: &str| tools.iter().any(|tool| matches(pattern, tool));
        patterns.into_iter().filter(|pattern| !matches_one(pattern)).cloned().collect()
    }

    pub fn check(&self) -> error::Result<()> {
        let fields =
            [("tools", self.tools.keys().collect::<Vec<_>>()), ("idempotent", self.idempotent.iter().collect())];
        for (field, patterns) in fields {
            if patterns.len() > MAX_PATTERNS {
                return Err(Error::invalid_field(field, format!("it has at most {MAX_PATTERNS} patterns")));
            }
            let valid = |pattern: &str| {
                let characters = pattern.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'*'));
                characters && (1..=MAX_PATTERN_BYTES).contains(&pattern.len())
            };
            if let Some(invalid) = patterns.into_iter().find(|pattern| !valid(pattern)) {
                let invalid: String = invalid.chars().take(MAX_PATTERN_BYTES).collect();
                let reason = format!(
                    "{invalid:?} is no pattern: it is a name such as `notes__add` or `notes__*`, of at most \
                     {MAX_PATTERN_BYTES} of A-Z, a-z, 0-9, _, - and *"
                );
                return Err(Error::invalid_field(field, reason));
            }
        }
        Ok(())
    }
}

/// Returns whether a name matches a pattern. Takes at most time proportional to the product of their lengths.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_pattern_matches_the_whole_name() {
        let cases = [
            ("notes__add", "notes__add", true),
            ("notes__add", "notes__added", false),
            ("notes__*", "notes__add", true),
            ("*", "", true),
            ("*__add", "notes__add", true),
            ("n*s__*d", "notes__add", true),
            ("a*a", "a", false),
            ("a*b*c", "abbc", true),
            ("a*b*c", "acb", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
