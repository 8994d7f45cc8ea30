//! The tools of an agent. Whether a skill or the host carries them out, the same policy, approvals, validation and names
//! apply to them.

use std::sync::LazyLock;

use moxxy_runtime::{Plugins, models};
use moxxy_schema::Mismatch;
use moxxy_types::{
    components::{self, Hints},
    digest::Digest,
    error::Result,
    installations::Installation,
    policy::{Policy, Verdict},
    runs::tool_name,
};
use serde_json::{Value, json};

/// Name of the tool with which the model asks the user. No skill's tool can have this name.
const ASK_USER: &str = "ask_user";
/// Maximum length of a model's question, in characters.
const MAX_QUESTION_CHARS: usize = 16 * 1024;

static HOST_TOOLS: LazyLock<[components::Tool; 1]> = LazyLock::new(|| {
    [components::Tool {
        name: ASK_USER.into(),
        description: "Asks the user a question, and waits for the answer, which may take long. For what only the \
                      user knows or may decide."
            .into(),
        parameters: json!({
            "type": "object", "required": ["question"], "additionalProperties": false,
            "properties": { "question": {
                "type": "string", "pattern": "\\S", "maxLength": MAX_QUESTION_CHARS,
                "description": "The question, complete in itself.",
            } },
        }),
        hints: Hints { read_only: true, idempotent: true, requires_approval: false },
    }]
});

/// A tool that a model may call.
#[derive(Debug, Clone)]
pub struct Tool<'s> {
    /// Name by which the model calls it.
    pub name: String,
    pub definition: &'s components::Tool,
    pub source: Source<'s>,
}

/// What carries out the calls of a tool.
#[derive(Debug, Clone, Copy)]
pub enum Source<'s> {
    Skill(&'s Installation),
    Host,
}

impl<'s> Tool<'s> {
    /// Returns the skill that it belongs to.
    pub fn skill(&self) -> Option<&'s Installation> {
        match self.source {
            Source::Skill(skill) => Some(skill),
            Source::Host => None,
        }
    }

    pub fn is_ask_user(&self) -> bool {
        self.name == ASK_USER
    }

    /// Returns the digest of what an approval is for: the skill's component, or the definition of a tool of the host.
    pub fn digest(&self) -> Digest {
        match self.source {
            Source::Skill(skill) => skill.component.digest.clone(),
            Source::Host => Digest::compute(self.definition.parameters.to_string().as_bytes()),
        }
    }

    /// Returns the arguments, corrected where they have one meaning, and their mismatches with the tool's schema.
    pub async fn check_arguments(&self, plugins: &Plugins, arguments: Value) -> Result<(Value, Vec<Mismatch>)> {
        match self.source {
            Source::Skill(skill) => {
                plugins.check_arguments(&skill.component.digest, &self.definition.name, arguments).await
            }
            Source::Host => plugins.check_host_arguments(self.definition.parameters.clone(), arguments).await,
        }
    }
}

/// Returns the tools of these skills and of the host, in a stable order. In an unattended run nobody can be asked.
pub fn all(skills: &[Installation], unattended: bool) -> impl Iterator<Item = Tool<'_>> {
    let of_host = HOST_TOOLS.iter().filter(move |tool| !(unattended && tool.name == ASK_USER));
    let of_host = of_host.map(|definition| Tool { name: definition.name.clone(), definition, source: Source::Host });
    skills.iter().flat_map(of_skill).chain(of_host)
}

fn of_skill(skill: &Installation) -> impl Iterator<Item = Tool<'_>> {
    skill.component.tools.iter().map(move |definition| {
        let name = tool_name(&skill.name, &definition.name);
        Tool { name, definition, source: Source::Skill(skill) }
    })
}

/// Returns the tool that a model calls by this name.
pub fn find<'s>(skills: &'s [Installation], name: &str) -> Option<Tool<'s>> {
    all(skills, false).find(|tool| tool.name == name)
}

/// Returns the tools that the agent's policy does not deny, as a model is offered them.
pub fn offered(skills: &[Installation], policy: &Policy, unattended: bool) -> Vec<models::ToolDefinition> {
    let allowed = all(skills, unattended).filter(|tool| policy.verdict(&tool.name, None) != Verdict::Deny);
    let definition = |Tool { name, definition, .. }: Tool<'_>| models::ToolDefinition {
        name,
        description: definition.description.clone(),
        parameters: moxxy_schema::normalize(definition.parameters.clone()).to_string(),
    };
    allowed.map(definition).collect()
}
