//! The tools of an agent. Whether a skill, the host or a client carries them out, the same policy, approvals, validation and names
//! apply to them.

use std::sync::LazyLock;

use moxxy_runtime::{Plugins, models};
use moxxy_schema::Mismatch;
use moxxy_types::{
    components::{self, Hints},
    digest::Digest,
    error::Result,
    installations::Installation,
    messages::{Message, Role, ToolCall},
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
    /// The client that waits for the answer.
    Client,
}

impl<'s> Tool<'s> {
    /// Returns the skill that it belongs to.
    pub fn skill(&self) -> Option<&'s Installation> {
        match self.source {
            Source::Skill(skill) => Some(skill),
            Source::Host | Source::Client => None,
        }
    }

    pub fn is_ask_user(&self) -> bool {
        self.name == ASK_USER
    }

    /// Returns the digest of what an approval is for: the skill's component, or the definition of any other tool.
    pub fn digest(&self) -> Digest {
        match self.source {
            Source::Skill(skill) => skill.component.digest.clone(),
            Source::Host | Source::Client => Digest::compute(self.definition.parameters.to_string().as_bytes()),
        }
    }

    /// Returns the arguments, corrected where they have one meaning, and their mismatches with the tool's schema.
    pub async fn check_arguments(&self, plugins: &Plugins, arguments: Value) -> Result<(Value, Vec<Mismatch>)> {
        match self.source {
            Source::Skill(skill) => {
                plugins.check_arguments(&skill.component.digest, &self.definition.name, arguments).await
            }
            Source::Host | Source::Client => {
                plugins.check_host_arguments(self.definition.parameters.clone(), arguments).await
            }
        }
    }
}

/// The tools that a run may use.
#[derive(Debug, Clone, Copy)]
pub struct ToolSet<'s> {
    pub skills: &'s [Installation],
    /// Tools of the client that waits for the answer.
    pub of_client: &'s [components::Tool],
    /// Whether nobody can be asked.
    pub unattended: bool,
}

impl<'s> ToolSet<'s> {
    pub fn of_skills(skills: &'s [Installation]) -> Self {
        Self { skills, of_client: &[], unattended: false }
    }

    /// Returns all tools, in a stable order.
    pub fn all(self) -> impl Iterator<Item = Tool<'s>> {
        let of_host = HOST_TOOLS.iter().filter(move |tool| !(self.unattended && tool.name == ASK_USER));
        let named =
            |source| move |definition: &'s components::Tool| Tool { name: definition.name.clone(), definition, source };
        let of_client = self.of_client.iter().map(named(Source::Client));
        self.skills.iter().flat_map(of_skill).chain(of_host.map(named(Source::Host))).chain(of_client)
    }

    /// Returns the tool that a model calls by this name.
    pub fn find(self, name: &str) -> Option<Tool<'s>> {
        // In an unattended run `ask_user` is told why it cannot be used.
        Self { unattended: false, ..self }.all().find(|tool| tool.name == name)
    }

    /// Returns the tools that the agent's policy does not deny, as a model is offered them.
    pub fn offered(self, policy: &Policy) -> Vec<models::ToolDefinition> {
        let allowed = self.all().filter(|tool| policy.verdict(&tool.name, None) != Verdict::Deny);
        let definition = |Tool { name, definition, .. }: Tool<'_>| models::ToolDefinition {
            name,
            description: definition.description.clone(),
            parameters: moxxy_schema::normalize(definition.parameters.clone()).to_string(),
        };
        allowed.map(definition).collect()
    }
}

fn of_skill(skill: &Installation) -> impl Iterator<Item = Tool<'_>> {
    skill.component.tools.iter().map(move |definition| {
        let name = tool_name(&skill.name, &definition.name);
        Tool { name, definition, source: Source::Skill(skill) }
    })
}

/// Returns the last message of the model and its calls that the client carries out, if there are any.
pub fn handed_over<'m>(
    messages: &'m [Message],
    of_client: &[components::Tool],
) -> Option<(&'m Message, Vec<&'m ToolCall>)> {
    let at = messages.iter().rposition(|message| message.role == Role::Assistant)?;
    let (last, results) = messages.get(at..)?.split_first()?;
    // A call that was refused is the model's to make again.
    let is_refused = |call: &ToolCall| {
        results.iter().any(|result| result.is_error && result.tool_call_id.as_ref() == Some(&call.id))
    };
    let is_handed_over = |call: &&ToolCall| of_client.iter().any(|tool| tool.name == call.name) && !is_refused(call);
    let calls: Vec<_> = last.calls().iter().filter(is_handed_over).collect();
    (!calls.is_empty()).then_some((last, calls))
}
