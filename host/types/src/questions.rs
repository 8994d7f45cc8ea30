//! Questions to people, and approvals.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::IntoStaticStr;

use crate::{
    digest::Digest,
    error::{Error, Result},
    ids::{self, MessageId, QuestionId, RunId, SessionId},
};

/// A question of a run, or a call that somebody has to approve.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[cfg_attr(feature = "sqlx", derive(sqlx::FromRow))]
pub struct Question {
    /// The question's id.
    #[cfg_attr(feature = "sqlx", sqlx(rename = "id"))]
    #[serde(flatten, serialize_with = "ids::OwnQuestionId::serialize")]
    #[schemars(with = "ids::OwnQuestionId")]
    pub question_id: QuestionId,
    pub kind: Kind,
    /// The run that waits.
    #[cfg_attr(feature = "sqlx", sqlx(rename = "run"))]
    pub run_id: RunId,
    /// The session of the run.
    #[cfg_attr(feature = "sqlx", sqlx(rename = "session"))]
    pub session_id: SessionId,
    /// What is asked, in words.
    pub question: String,
    /// Who asks: `ask_user` for the model, or a tool, which is the one to be approved.
    pub tool: String,
    /// What it would be called with; of an approval only.
    #[cfg_attr(feature = "sqlx", sqlx(json(nullable)))]
    pub arguments: Option<Value>,
    /// The component that it is a tool of; of an approval only.
    pub digest: Option<Digest>,
    pub status: Status,
    /// What was answered.
    pub answer: Option<String>,
    /// What was decided, on an approval.
    pub decision: Option<Decision>,
    /// For how long.
    pub scope: Option<DecisionScope>,
    /// A token's id, or `local`.
    pub answered_by: Option<String>,
    /// When it was asked (RFC 3339, UTC).
    pub created_at: String,
    /// When it is given up.
    pub expires_at: String,
    /// When it was answered or given up.
    pub ended_at: Option<String>,
    #[serde(skip)]
    pub message: MessageId,
    #[serde(skip)]
    pub call_id: String,
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(rename_all = "lowercase"))]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "QuestionKind")]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum Kind {
    /// It is answered in words.
    Question,
    /// It is allowed or denied.
    Approval,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(rename_all = "lowercase"))]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "QuestionStatus")]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum Status {
    /// It can be answered.
    Open,
    /// Somebody was first.
    Answered,
    /// Nobody answered in time, or the run has ended.
    Expired,
}

/// What becomes of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(rename_all = "lowercase"))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum Decision {
    /// It is made.
    Allow,
    /// It is not made, and the model is told.
    Deny,
}

/// How long a decision holds for calls of the same tool of the same component, with the same arguments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(rename_all = "lowercase"))]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "ApprovalScope")]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum DecisionScope {
    /// For this call.
    #[default]
    Once,
    /// For the rest of the run.
    Run,
    /// For the rest of the session.
    Session,
    /// Until the tool policy is set anew.
    Always,
}

/// An answer to a question, or a decision on an approval.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "QuestionResponse")]
pub struct Response {
    /// To a question: 1 byte to 64 KiB.
    pub answer: Option<String>,
    /// On an approval.
    pub decision: Option<Decision>,
    /// For how long the decision holds; `once` if absent.
    pub scope: Option<DecisionScope>,
}

/// Question to be asked.
#[derive(Debug, Clone)]
pub struct NewQuestion {
    pub kind: Kind,
    pub message: MessageId,
    pub call_id: String,
    pub question: String,
    pub tool: String,
    pub digest: Option<Digest>,
    pub arguments: Option<Value>,
}

impl Response {
    pub fn check(&self, question: &Question) -> Result<()> {
        match (question.kind, &self.answer, self.decision) {
            (Kind::Question, Some(answer), None) if self.scope.is_none() => match answer.len() {
                1..=MAX_ANSWER_BYTES => Ok(()),
                _ => Err(Error::invalid_field("answer", format!("it has 1 to {MAX_ANSWER_BYTES} bytes"))),
            },
            (Kind::Question, ..) => Err(Error::invalid_field("answer", "this is a question: it takes `answer` alone")),
            (Kind::Approval, None, Some(_)) => Ok(()),
            (Kind::Approval, ..) => {
                Err(Error::invalid_field("decision", "this is an approval: it takes `decision`, and `scope` perhaps"))
            }
        }
    }
}

impl Question {
    /// Returns whether this is an approval of a call of this component with these arguments.
    pub fn approves(&self, digest: &Digest, arguments: &Value) -> bool {
        self.kind == Kind::Approval
            && self.digest.as_ref() == Some(digest)
            && self.arguments.as_ref() == Some(arguments)
    }
}

/// Maximum length of an answer, in bytes.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;
