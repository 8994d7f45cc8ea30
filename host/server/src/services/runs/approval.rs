//! Decisions on the tool calls of a message: execute, refuse or request approval, according to the tool policy and
//! the answers so far.

use moxxy_runtime::AnsweredQuestion;
use moxxy_store as store;
use moxxy_types::{
    components::Tool,
    error::Result,
    ids::{MessageId, Name, QuestionId},
    installations::Installation,
    messages::ToolCall,
    policy::{Policy, Verdict},
    questions::{Decision, Kind, NewQuestion, Question, Status},
};
use serde_json::Value;

use crate::services::{
    runs::{arguments, executor::RunExecutor, questions, tool_names::ToolNameMap},
    tools::{self, Source, ToolSet},
};

/// Result of a call that the client carries out, until the client says what came of it.
const HANDED_OVER: &str = "The program through which the user talks to you carries out this call. Its next message says \
                           what came of it.";

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
    fn ok(content: impl Into<String>) -> Self {
        Self { content: content.into(), is_error: false, denied: None }
    }

    pub(super) fn error(content: impl Into<String>) -> Self {
        Self { content: content.into(), is_error: true, denied: None }
    }
}

impl<'t> ToolCallGate<'t> {
    pub(super) async fn load(executor: &'t RunExecutor<'t>, message: &'t MessageId, policy: Policy) -> Result<Self> {
        let questions = store::questions::of_message(&mut *executor.runs.store.read().await?, message).await?;
        Ok(Self { executor, message, policy, questions })
    }

    pub(super) async fn decide<'s>(&self, call: &mut ToolCall, known: ToolSet<'s>) -> Result<GateDecision<'s>> {
        let Some(tool) = known.find(&call.name) else {
            let offered = known.offered(&self.policy);
            let tools = || offered.iter().map(|tool| tool.name.as_str());
            return Ok(GateDecision::Reply(Answer::error(ToolNameMap::new(tools()).unknown(&call.name, tools()))));
        };
        if let Some(why) = arguments::wrong(self.executor.runs, &tool, call).await? {
            return Ok(GateDecision::Reply(Answer::error(why)));
        }
        let denied = |reason: &'static str| {
            let denied = Denied {
                skill: tool.skill().map(|skill| skill.name.clone()),
                tool: tool.definition.name.clone(),
                reason,
            };
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
        match self.policy.verdict(&tool.name, Some(&tool.definition.hints)) {
            Verdict::Allow => {}
            // It is for a person anyway, or the client's own.
            Verdict::Ask if tool.is_ask_user() || matches!(tool.source, Source::Client) => {}
            Verdict::Deny => return Ok(denied("the tool policy of the agent denies this tool")),
            Verdict::Ask => match self.approval(call, &tool).await? {
                Some(Approval::Given(Decision::Allow)) => {}
                Some(Approval::Given(Decision::Deny)) => return Ok(denied("a person denied it")),
                Some(Approval::Expired) => return Ok(denied("nobody approved it in time")),
                Some(Approval::Open(id)) => return Ok(GateDecision::AwaitAnswer(id)),
                None if self.executor.run.unattended => return Ok(denied("nobody is there to approve it")),
                None => return Ok(GateDecision::RequestApproval(self.for_approval(call, &tool))),
            },
        }
        let skill = match tool.source {
            Source::Skill(skill) => skill,
            Source::Host => return Ok(self.ask_user(call)),
            Source::Client => return Ok(GateDecision::Reply(Answer::ok(HANDED_OVER))),
        };
        let asked = self.questions_for(call, Kind::Question);
        if let Some(open) = asked.clone().find(|question| question.status == Status::Open) {
            return Ok(GateDecision::AwaitAnswer(open.question_id.clone()));
        }
        let answered = |q: &Question| AnsweredQuestion { question: q.question.clone(), answer: q.answer.clone() };
        Ok(GateDecision::Execute(skill, tool.definition, asked.map(answered).collect()))
    }

    /// Returns the decision on a call of this tool: its own approval, or an earlier decision that applies to it.
    async fn approval(&self, call: &ToolCall, tool: &tools::Tool<'_>) -> Result<Option<Approval>> {
        let digest = &tool.digest();
        // An approval for another version of the tool does not count.
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

    fn for_approval(&self, call: &ToolCall, tool: &tools::Tool<'_>) -> NewQuestion {
        NewQuestion {
            kind: Kind::Approval,
            message: self.message.clone(),
            call_id: call.id.clone(),
            question: format!("May `{}` be called with these arguments?", call.name),
            tool: call.name.clone(),
            digest: Some(tool.digest()),
            arguments: Some(call.arguments.clone()),
        }
    }

    /// Decides on a call with which the model asks the user.
    fn ask_user<'s>(&self, call: &ToolCall) -> GateDecision<'s> {
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
            None => {
                let question = call.arguments.get("question").and_then(Value::as_str).unwrap_or_default().trim();
                GateDecision::RequestApproval(self.question(call, question.to_owned()))
            }
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

/// Whether a call may have side effects, so that no other call may run at the same time.
pub(super) fn changes_something(call: &ToolCall, known: ToolSet<'_>) -> bool {
    known.find(&call.name).is_some_and(|tool| !tool.definition.hints.read_only)
}
