//! The steps of a run.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{SEPARATOR, Used};
use crate::types::ids::{Name, StepId};

/// A call of the model or of a tool.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Step {
    /// The step's id; events name it.
    pub step_id: StepId,
    pub kind: StepKind,
    /// `running`, `completed`, `failed`, `cancelled`, `interrupted`, or `pending`: it asked the user
    /// something, and is made again with the answer.
    pub status: String,
    /// The model, or the tool.
    pub name: String,
    /// What it began with; for a tool its `arguments`.
    pub input: Option<Value>,
    /// What it ended with, or why it failed; and which model is asked `next`, if another is.
    pub output: Option<Value>,
    #[serde(flatten)]
    pub usage: Used,
    /// When it began (RFC 3339, UTC).
    pub started_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
}

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StepKind {
    /// The model.
    Model,
    /// A tool of a skill.
    Tool,
}

impl Step {
    /// The provider of a model call.
    pub(super) fn provider(&self) -> Name {
        let id = self.input.as_ref().and_then(|input| input.get("provider")).and_then(Value::as_str);
        Name::stored(id.unwrap_or_default().to_owned())
    }

    /// The skill and the tool of a tool call.
    pub(super) fn tool(&self) -> (Name, String) {
        let (skill, tool) = self.name.split_once(SEPARATOR).unwrap_or((&self.name, ""));
        (Name::stored(skill.to_owned()), tool.to_owned())
    }

    /// The model's id of a tool call.
    pub(super) fn call_id(&self) -> Option<&str> {
        self.input.as_ref()?.get("call_id")?.as_str()
    }
}
