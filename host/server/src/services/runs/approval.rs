//! Decisions on the tool calls of a message: execute, refuse or request approval, according to the tool policy and
//! the answers so far.

use moxxy_runtime::{AnsweredQuestion, models};
use moxxy_store as store;
use moxxy_types::{
    components::Tool,
    error::Result,
    ids::{MessageId, Name, QuestionId},
    installations::Installation,
    messages::ToolCall,
    policy::{Policy, Verdict},
    questions::{Decision, Kind, NewQuestion, Question, Status},
    runs::{TOOL_NAME_SEPARATOR, tool_name},
};
use serde_json::{Value, json};

use crate::services::runs::{arguments, executor::RunExecutor, questions, tool_names::ToolNameMap};

/// Name of the tool with which the model asks the user. No skill's tool can have this name.
pub(super) const ASK_USER: &str = "ask_user";
/// Maximum length of a model's question, in bytes.
const MAX_QUESTION_BYTES: usize = 16 * 1024;

/// Decides on the tool calls of one message.
pub(super) struct ToolCallGate<'t> {
    executor: &'t RunExecutor<'t>,
    pub(super) message: &'t MessageId,
    policy: Policy,
    questions: Vec<Question>,
}

/// Decision on a tool call.
pub(super) enum GateDecision<'s> {
    /// Executes the call, with the user's earlier answers to it.
    Execute(&'s Installation, &'s Tool, Vec<AnsweredQuestion>),
    /// Returns a result without executing the call.
    Reply(Answer),
    /// Asks a person first.
    RequestApproval(NewQuestion),
    /// Waits for a person who was asked.
    AwaitAnswer(QuestionId),
}

enum Approval {
    Open(QuestionId),
    Given(Decision),
    Expired,
}

/// Result of a call for the model.
#[derive(Clone)]
pub(super) struct Answer {
    pub content: String,
    pub is_error: bool,
    /// The denial, if the call was not allowed.
    pub denied: Option<Denied>,
}

#[derive(Clone)]
pub(super) struct Denied {
    pub skill: Option<Name>,
    pub tool: String,
    pub reason: &'static str,
}

impl Answer {
    pub(super) fn error(content: impl Into<String>) -> Self {
        Self { content: content.into(), is_error: true, denied: None }
    }
}

impl<'t> ToolCallGate<'t> {
    pub(super) async fn load(executor: &'t RunExecutor<'t>, message: &'t MessageId, policy: Policy) -> Result<Self> {
        let questions = store::questions::of_message(&mut *executor.runs.store.read().await?, message).await?;
        Ok(Self { executor, message, policy, questions })
    }

    pub(super) async fn decide<'s>(&self, call: &mut ToolCall, skills: &'s [Installation]) -> Result<GateDecision<'s>> {
        if call.name == ASK_USER {
            return Ok(self.asked_by_model(call));
        }
        let Some((skill, tool)) = find(skills, call) else {
            let offered = offered(skills, &self.policy, self.executor.run.unattended);
            let tools = || offered.iter().map(|tool| tool.name.as_str());
            return Ok(GateDecision::Reply(Answer::error(ToolNameMap::new(tools()).unknown(&call.name, tools()))));
        };
        if let Some(why) = arguments::wrong(self.executor.runs, skill, &tool.name, call).await? {
            return Ok(GateDecision::Reply(Answer::error(why)));
        }
        let denied = |reason: &'static str| {
            let denied = Denied { skill: Some(skill.name.clone()), tool: tool.name.clone(), reason };
            GateDecision::Reply(Answer {
                content: format!("The call was not made: {reason}."),
                is_error: true,
                denied: Some(denied),
            })
        };
        // A denial counts whatever the policy says now, and for every version of the component.
        if self.questions_for(call, Kind::Approval).any(|asked| asked.decision == Some(Decision::Deny)) {
            return Ok(denied("a person denied it"));
        }
        match self.policy.verdict(&call.name, Some(&tool.hints)) {
            Verdict::Allow => {}
            Verdict::Deny => return Ok(denied("the tool policy of the agent denies this tool")),
            Verdict::Ask => match self.approval(call, skill).await? {
                Some(Approval::Given(Decision::Allow)) => {}
                Some(Approval::Given(Decision::Deny)) => return Ok(denied("a person denied it")),
                Some(Approval::Expired) => return Ok(denied("nobody approved it in time")),
                Some(Approval::Open(id)) => return Ok(GateDecision::AwaitAnswer(id)),
                None if self.executor.run.unattended => return Ok(denied("nobody is there to approve it")),
                None => return Ok(GateDecision::RequestApproval(self.for_approval(call, skill))),
            },
        }
        let asked = self.questions_for(call, Kind::Question);
        if let Some(open) = asked.clone().find(|question| question.status == Status::Open) {
            return Ok(GateDecision::AwaitAnswer(open.question_id.clone()));
        }
        let answered = |q: &Question| AnsweredQuestion { question: q.question.clone(), answer: q.answer.clone() };
        Ok(GateDecision::Execute(skill, tool, asked.map(answered).collect()))
    }

    /// Returns the decision on a call of this component: its own approval, or an earlier decision that applies to it.
    async fn approval(&self, call: &ToolCall, skill: &Installation) -> Result<Option<Approval>> {
        let digest = &skill.component.digest;
        // An approval for another version of the component does not count.
        let own =
            self.questions_for(call, Kind::Approval).filter(|asked| asked.approves(digest, &call.arguments)).last();
        if let Some(own) = own {
            return Ok(Some(match (own.status, own.decision) {
                (Status::Open, _) => Approval::Open(own.question_id.clone()),
                (_, Some(decision)) => Approval::Given(decision),
                (_, None) => Approval::Expired,
            }));
        }
        let mut db = self.executor.runs.store.read().await?;
        let arguments = call.arguments.to_string();
        let standing = store::questions::standing(&mut db, &self.executor.run, &call.name, digest, &arguments).await?;
        Ok(standing.map(Approval::Given))
    }

    fn for_approval(&self, call: &ToolCall, skill: &Installation) -> NewQuestion {
        NewQuestion {
            kind: Kind::Approval,
            message: self.message.clone(),
            call_id: call.id.clone(),
            question: format!("May `{}` be called with these arguments?", call.name),
            tool: call.name.clone(),
            digest: Some(skill.component.digest.clone()),
            arguments: Some(call.arguments.clone()),
        }
    }

    fn asked_by_model<'s>(&self, call: &ToolCall) -> GateDecision<'s> {
        if self.policy.verdict(ASK_USER, None) == Verdict::Deny {
            return GateDecision::Reply(Answer::error("Nobody can be asked."));
        }
        if self.executor.run.unattended {
            return GateDecision::Reply(Answer::error("Nobody can be asked now: ask in your answer."));
        }
        match self.questions_for(call, Kind::Question).next() {
            Some(asked) => match (asked.status, &asked.answer) {
                (Status::Open, _) => GateDecision::AwaitAnswer(asked.question_id.clone()),
                (_, Some(answer)) => {
                    GateDecision::Reply(Answer { content: answer.clone(), is_error: false, denied: None })
                }
                (_, None) => GateDecision::Reply(Answer::error("Nobody answered in time.")),
            },
            None => match call.arguments.get("question").and_then(Value::as_str).map(str::trim) {
                Some(question) if (1..=MAX_QUESTION_BYTES).contains(&question.len()) => {
                    GateDecision::RequestApproval(self.question(call, question.to_owned()))
                }
                _ => GateDecision::Reply(Answer::error(format!(
                    "`question` is a text of 1 to {MAX_QUESTION_BYTES} bytes."
                ))),
            },
        }
    }

    /// Returns the question that a call asks, or the model through it.
    pub(super) fn question(&self, call: &ToolCall, question: String) -> NewQuestion {
        NewQuestion {
            kind: Kind::Question,
            message: self.message.clone(),
            call_id: call.id.clone(),
            question,
            tool: call.name.clone(),
            digest: None,
            arguments: None,
        }
    }

    fn questions_for<'a>(&'a self, call: &'a ToolCall, kind: Kind) -> impl Iterator<Item = &'a Question> + Clone {
        self.questions.iter().filter(move |asked| asked.call_id == call.id && asked.kind == kind)
    }

    /// Stores questions to people.
    pub(super) async fn ask(&self, new: Vec<NewQuestion>) -> Result<()> {
        let (run, seconds) = (self.executor.run.clone(), self.executor.runs.config.runs.question_time);
        let asking = self.executor.commit(move |tx| {
            Box::pin(async move {
                for question in new {
                    questions::ask(tx, &run, question, seconds).await?;
                }
                Ok(())
            })
        });
        asking.await?;
        Ok(())
    }
}

/// Returns the tools that the agent's policy does not deny, in a stable order: those of its skills, and
/// [`ASK_USER`] unless the run is unattended.
pub(super) fn offered(skills: &[Installation], policy: &Policy, unattended: bool) -> Vec<models::ToolDefinition> {
    let of_skill = |skill: &Installation| {
        let id = skill.name.clone();
        skill.component.tools.clone().into_iter().map(move |tool| models::ToolDefinition {
            name: tool_name(&id, &tool.name),
            description: tool.description,
            parameters: moxxy_schema::normalize(tool.parameters).to_string(),
        })
    };
    let ask_user = models::ToolDefinition {
        name: ASK_USER.into(),
        description: "Asks the user a question, and waits for the answer, which may take long. For what only the \
                      user knows or may decide."
            .into(),
        parameters: json!({
            "type": "object", "required": ["question"], "additionalProperties": false,
            "properties": { "question": { "type": "string", "description": "The question, complete in itself." } },
        })
        .to_string(),
    };
    let allowed = |tool: &models::ToolDefinition| policy.verdict(&tool.name, None) != Verdict::Deny;
    let ask_user = (!unattended).then_some(ask_user);
    skills.iter().flat_map(of_skill).chain(ask_user).filter(allowed).collect()
}

/// Returns the names by which a model calls the tools of these skills and of the host.
pub fn tool_names(skills: &[Installation]) -> impl Iterator<Item = String> {
    let of_skill = |skill: &Installation| {
        let id = skill.name.clone();
        skill.component.tools.iter().map(move |tool| tool_name(&id, &tool.name)).collect::<Vec<_>>()
    };
    skills.iter().flat_map(of_skill).chain([ASK_USER.to_owned()])
}

/// Whether a call may have side effects, so that no other call may run at the same time.
pub(super) fn changes_something(call: &ToolCall, skills: &[Installation]) -> bool {
    find(skills, call).is_some_and(|(_, tool)| !tool.hints.read_only)
}

/// Returns the skill and the tool of a call.
fn find<'s>(skills: &'s [Installation], call: &ToolCall) -> Option<(&'s Installation, &'s Tool)> {
    let (skill, tool) = call.name.split_once(TOOL_NAME_SEPARATOR)?;
    let skill = skills.iter().find(|known| known.name.as_str() == skill)?;
    let tool = skill.component.tools.iter().find(|known| known.name == tool)?;
    Some((skill, tool))
}
