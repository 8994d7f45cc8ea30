//! Results of the conformance suite for a provider, for programs and for people.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// Version of the suite. The major number changes when the expectations of a case change.
pub const SUITE_VERSION: &str = "2.1.0";

/// What came of the conformance suite.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ProviderCheck")]
pub struct Report {
    /// The suite's version.
    pub suite: String,
    /// The wire that the component was tried on: what the scripted service spoke.
    pub wire: String,
    /// Of the component.
    pub digest: Digest,
    /// When that was (RFC 3339, UTC); null of a check without a server.
    pub checked_at: Option<String>,
    /// How many cases it passed.
    pub passed: usize,
    /// How many it failed.
    pub failed: usize,
    /// How many have no meaning for it, such as those about thoughts on a wire that has none.
    pub skipped: usize,
    /// Each case, in the suite's order.
    pub cases: Vec<Case>,
    /// The same as a table for people.
    pub text: String,
}

/// A case of the suite.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ProviderCheckCase")]
pub struct Case {
    /// What it goes by, in every version of the suite.
    pub id: String,
    /// What is expected.
    pub expects: String,
    pub outcome: Outcome,
    /// What came instead, or why it was skipped.
    pub found: Option<String>,
}

/// What came of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Outcome {
    Passed,
    Failed,
    Skipped,
}

/// What came of the last check of a provider, as it is installed and configured now.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "ProviderCheckSummary")]
pub struct Summary {
    /// The suite's version.
    pub suite: String,
    /// The wire that it was tried on.
    pub wire: String,
    /// How many cases it passed.
    pub passed: usize,
    /// How many it failed.
    pub failed: usize,
    /// How many have no meaning for it.
    pub skipped: usize,
    /// The ids of the cases that it failed.
    pub failed_cases: Vec<String>,
    /// When that was (RFC 3339, UTC).
    pub checked_at: String,
}

impl Report {
    pub fn new(digest: Digest, wire: String, cases: Vec<Case>) -> Self {
        let count = |outcome| cases.iter().filter(|case| case.outcome == outcome).count();
        let (passed, failed, skipped) = (count(Outcome::Passed), count(Outcome::Failed), count(Outcome::Skipped));
        let rows: String = cases.iter().map(Case::row).collect();
        let sum = format!(
            "{passed} passed, {failed} failed, {skipped} skipped: suite {SUITE_VERSION} on the wire `{wire}`\n"
        );
        Self {
            suite: SUITE_VERSION.to_owned(),
            wire,
            digest,
            checked_at: None,
            passed,
            failed,
            skipped,
            cases,
            text: rows + &sum,
        }
    }

    pub fn summary(self) -> Summary {
        let failed = self.cases.into_iter().filter(|case| case.outcome == Outcome::Failed);
        Summary {
            suite: self.suite,
            wire: self.wire,
            passed: self.passed,
            failed: self.failed,
            skipped: self.skipped,
            failed_cases: failed.map(|case| case.id).collect(),
            checked_at: self.checked_at.unwrap_or_default(),
        }
    }
}

impl Case {
    fn row(&self) -> String {
        let outcome = match self.outcome {
            Outcome::Passed => "passed",
            Outcome::Failed => "FAILED",
            Outcome::Skipped => "skipped",
        };
        let found = self.found.iter().map(|found| format!("{:33}{found}\n", ""));
        format!("{outcome:<9}{:<24}{}\n{}", self.id, self.expects, found.collect::<String>())
    }
}
