//! What becomes of the calls of a message: made, refused, or put to a person first, as the tool policy
//! says and as people have answered so far.

use moxxy_runtime::{Answered, models};
use moxxy_store as store;
use moxxy_types::{
    components::Tool,
    error::Result,
    ids::{MessageId, Name, QuestionId},
    messages::ToolCall,
    policy::{Policy, Verdict},
    questions::{Decision, Kind, NewQuestion, Question, Status},
    runs::{SEPARATOR, tool_name},
    skills::Skill,
};
use serde_json::{Value, json};

use crate::services::runs::{arguments, executor::RunExecutor, questions, tool_names::ToolNameMap};

/// The tool by which the model asks the user. No skill's tool can have this name.
pub const ASK_USER: &str = "ask_user";
/// The longest question that a model asks, in bytes.
const QUESTION: usize = 16 * 1024;

/// What is known of the calls of one message.
pub struct ToolCallGate<'t> {
    turn: &'t RunExecutor<'t>,
    message: &'t MessageId,
    policy: Policy,
    questions: Vec<Question>,
}

/// What becomes of a call.
pub enum GateDecision<'s> {
    /// It is made; with what the user answered it before.
    Execute(&'s Skill, &'s Tool, Vec<Answered>),
    /// It is answered without being made.
    Reply(Answer),
    /// A person has to say something first.
    RequestApproval(NewQuestion),
    /// A person was asked and has not answered.
    AwaitAnswer(QuestionId),
}

enum Approval {
    Open(QuestionId),
    Given(Decision),
    Late,
}

/// What the model is told of a call.
#[derive(Clone)]
pub struct Answer {
    pub content: String,
    pub is_error: bool,
    /// Why the call was not allowed, if it was not.
    pub denied: Option<Denied>,
}

#[derive(Clone)]
pub struct Denied {
    pub skill: Option<Name>,
    pub tool: String,
    pub reason: &'static str,
}

impl Answer {
    pub fn error(content: impl Into<String>) -> Self {
        Self { content: content.into(), is_error: true, denied: None }
    }
}

impl<'t> ToolCallGate<'t> {
    pub async fn load(turn: &'t RunExecutor<'t>, message: &'t MessageId) -> Result<Self> {
        let mut db = turn.runs.store.read().await?;
        let policy = store::agents::policy(&mut db, turn.agent.key).await?;
        let questions = store::questions::of_message(&mut db, message).await?;
        Ok(Self { turn, message, policy, questions })
    }

    pub async fn decide<'s>(&self, call: &mut ToolCall, skills: &'s [Skill]) -> Result<GateDecision<'s>> {
        if call.name == ASK_USER {
            return Ok(self.asked_by_model(call));
        }
        let Some((skill, tool)) = find(skills, call) else {
            let offered = offered(skills, &self.policy, self.turn.run.unattended);
            let tools = || offered.iter().map(|tool| tool.name.as_str());
            return Ok(GateDecision::Reply(Answer::error(ToolNameMap::of(tools()).unknown(&call.name, tools()))));
        };
        if let Some(why) = arguments::wrong(self.turn.runs, skill, &tool.name, call).await? {
            return Ok(GateDecision::Reply(Answer::error(why)));
        }
        let denied = |reason: &'static str| {
            let denied = Denied { skill: Some(skill.id.clone()), tool: tool.name.clone(), reason };
            GateDecision::Reply(Answer {
                content: format!("The call was not made: {reason}."),
                is_error: true,
                denied: Some(denied),
            })
        };
        // Whatever holds by now, and for whichever version it was.
        if self.of(call, Kind::Approval).any(|asked| asked.decision == Some(Decision::Deny)) {
            return Ok(denied("a person denied it"));
        }
        match self.policy.verdict(&call.name, Some(&tool.hints)) {
            Verdict::Allow => {}
            Verdict::Deny => return Ok(denied("the tool policy of the agent denies this tool")),
            Verdict::Ask => match self.approval(call, skill).await? {
                Some(Approval::Given(Decision::Allow)) => {}
                Some(Approval::Given(Decision::Deny)) => return Ok(denied("a person denied it")),
                Some(Approval::Late) => return Ok(denied("nobody approved it in time")),
                Some(Approval::Open(id)) => return Ok(GateDecision::AwaitAnswer(id)),
                None if self.turn.run.unattended => return Ok(denied("nobody is there to approve it")),
                None => return Ok(GateDecision::RequestApproval(self.for_approval(call, skill))),
            },
        }
        let asked = self.of(call, Kind::Question);
        if let Some(open) = asked.clone().find(|question| question.status == Status::Open) {
            return Ok(GateDecision::AwaitAnswer(open.question_id.clone()));
        }
        let answered = |q: &Question| Answered { question: q.question.clone(), answer: q.answer.clone() };
        Ok(GateDecision::Execute(skill, tool, asked.map(answered).collect()))
    }

    /// What was decided on a call of this component, now or earlier.
    async fn approval(&self, call: &ToolCall, skill: &Skill) -> Result<Option<Approval>> {
        let digest = &skill.component.digest;
        // One for another version of the component counts for nothing.
        let own = self.of(call, Kind::Approval).filter(|asked| asked.approves(digest, &call.arguments)).last();
        if let Some(own) = own {
            return Ok(Some(match (own.status, own.decision) {
                (Status::Open, _) => Approval::Open(own.question_id.clone()),
                (_, Some(decision)) => Approval::Given(decision),
                (_, None) => Approval::Late,
            }));
        }
        let mut db = self.turn.runs.store.read().await?;
        let arguments = call.arguments.to_string();
        let standing = store::questions::standing(&mut db, &self.turn.run, &call.name, digest, &arguments).await?;
        Ok(standing.map(Approval::Given))
    }

    fn for_approval(&self, call: &ToolCall, skill: &Skill) -> NewQuestion {
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
        if self.turn.run.unattended {
            return GateDecision::Reply(Answer::error("Nobody can be asked now: ask in your answer."));
        }
        match self.of(call, Kind::Question).next() {
            Some(asked) => match (asked.status, &asked.answer) {
                (Status::Open, _) => GateDecision::AwaitAnswer(asked.question_id.clone()),
                (_, Some(answer)) => {
                    GateDecision::Reply(Answer { content: answer.clone(), is_error: false, denied: None })
                }
                (_, None) => GateDecision::Reply(Answer::error("Nobody answered in time.")),
            },
            None => match call.arguments.get("question").and_then(Value::as_str).map(str::trim) {
                Some(question) if (1..=QUESTION).contains(&question.len()) => {
                    GateDecision::RequestApproval(self.question(call, question.to_owned()))
                }
                _ => GateDecision::Reply(Answer::error(format!("`question` is a text of 1 to {QUESTION} bytes."))),
            },
        }
    }

    /// A question that a call asks, or the model by one.
    pub fn question(&self, call: &ToolCall, question: String) -> NewQuestion {
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

    fn of<'a>(&'a self, call: &'a ToolCall, kind: Kind) -> impl Iterator<Item = &'a Question> + Clone {
        self.questions.iter().filter(move |asked| asked.call_id == call.id && asked.kind == kind)
    }

    /// Puts questions to whoever may answer.
    pub async fn ask(&self, new: Vec<NewQuestion>) -> Result<()> {
        let (run, seconds) = (self.turn.run.clone(), self.turn.runs.config.runs.question_time);
        let asking = self.turn.runs.store.persist(move |tx| {
            Box::pin(async move {
                for question in new {
                    questions::ask(tx, &run, question, seconds).await?;
                }
                Ok(())
            })
        });
        asking.await?;
        self.turn.runs.asked.notify_one();
        Ok(())
    }
}

/// The tools that the agent's policy does not deny, in a stable order: those of its skills, and the one
/// to ask the user, if somebody attends the run.
pub fn offered(skills: &[Skill], policy: &Policy, unattended: bool) -> Vec<models::ToolDefinition> {
    let of_skill = |skill: &Skill| {
        let id = skill.id.clone();
        skill.component.tools.clone().into_iter().map(move |tool| models::ToolDefinition {
            name: tool_name(&id, &tool.name),
            description: tool.description,
            parameters: tool.parameters.to_string(),
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

/// Whether calls beside it may not be made at the same time.
pub fn changes_something(call: &ToolCall, skills: &[Skill]) -> bool {
    find(skills, call).is_some_and(|(_, tool)| !tool.hints.read_only)
}

/// The skill and the tool that a call means.
fn find<'s>(skills: &'s [Skill], call: &ToolCall) -> Option<(&'s Skill, &'s Tool)> {
    let (skill, tool) = call.name.split_once(SEPARATOR)?;
    let skill = skills.iter().find(|known| known.id.as_str() == skill)?;
    let tool = skill.component.tools.iter().find(|known| known.name == tool)?;
    Some((skill, tool))
}
