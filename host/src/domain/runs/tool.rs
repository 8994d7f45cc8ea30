//! Tool calls that a model asked for. Calls that are all read-only run side by side, others one
//! after another.

use futures_util::future::try_join_all;
use serde_json::{Map, Value, json};

use super::{
    SEPARATOR, StepKind,
    turn::{Outcome, Turn},
};
use crate::{
    domain::{
        invocations::{self, Ended, Invocation},
        messages::{Message, Role, ToolCall},
        skills::Skill,
    },
    error::Result,
    events::{self, Event},
    ids::StepId,
    plugins::{Caller, Failure, Tool},
    store::{self, steps},
};

/// What the model is told of a call.
struct Answer {
    content: String,
    is_error: bool,
}

pub async fn run_all(turn: &Turn<'_>, calls: Vec<ToolCall>, skills: &[Skill]) -> Result<Outcome> {
    let parallel = calls.iter().all(|call| find(skills, call).is_ok_and(|(_, tool)| tool.hints.read_only));
    if parallel {
        try_join_all(calls.iter().map(|call| run(turn, call, skills))).await?;
    } else {
        for call in &calls {
            if turn.control.is_asked() {
                return Ok(Outcome::GoOn);
            }
            run(turn, call, skills).await?;
        }
    }
    Ok(if turn.control.now.is_cancelled() { Outcome::Stopped } else { Outcome::GoOn })
}

async fn run(turn: &Turn<'_>, call: &ToolCall, skills: &[Skill]) -> Result<()> {
    let (skill, tool) = match find(skills, call) {
        Ok(found) => found,
        Err(why) => return answer(turn, call, Answer { content: why, is_error: true }).await,
    };
    let Value::Object(arguments) = &call.arguments else {
        let content = "The arguments are not a JSON object.".to_owned();
        return answer(turn, call, Answer { content, is_error: true }).await;
    };
    let step = open(turn, call, skill, tool, arguments).await?;
    let stop = turn.control.now.clone();
    let (agent, tool) = (turn.agent.key, tool.name.as_str());
    let run = (turn.run.session_id.clone(), turn.run.run_id.clone());
    let caller = Caller { agent: turn.run.agent_id.clone(), run: Some(run) };
    let invocation = Invocation { agent, caller, skill, tool, arguments, step: Some(&step), stop };
    let ended = invocations::call(turn.app, invocation).await?;
    if turn.control.now.is_cancelled() {
        // What came too late is not told to anyone: the run is cancelled with its open steps.
        return Ok(());
    }
    close(turn, call, step, ended).await
}

/// What a component wrote before it trapped is for its operator, not for the model.
fn told_to_model(failure: Failure) -> String {
    match failure {
        Failure::Trapped { .. } => "The skill broke while it carried out the call.".to_owned(),
        other => other.message().to_owned(),
    }
}

/// The skill and the tool that a call means.
fn find<'s>(skills: &'s [Skill], call: &ToolCall) -> Result<(&'s Skill, &'s Tool), String> {
    let found = call.name.split_once(SEPARATOR).and_then(|(skill, tool)| {
        let skill = skills.iter().find(|known| known.id.as_str() == skill)?;
        let tool = skill.component.tools.iter().find(|known| known.name == tool)?;
        Some((skill, tool))
    });
    found.ok_or_else(|| format!("There is no tool named {:?}.", call.name))
}

async fn open(
    turn: &Turn<'_>,
    call: &ToolCall,
    skill: &Skill,
    tool: &Tool,
    arguments: &Map<String, Value>,
) -> Result<StepId> {
    let (run, subject, call_id) = (turn.run.run_id.clone(), turn.subject(), call.id.clone());
    let (name, skill_id, tool) = (call.name.clone(), skill.id.clone(), tool.name.clone());
    let arguments = Value::Object(arguments.clone());
    turn.app
        .store
        .write(move |tx| {
            Box::pin(async move {
                let input = json!({ "call_id": call_id, "arguments": arguments });
                let step_id = steps::open(tx, &run, StepKind::Tool, &name, &input).await?;
                let invoked = Event::SkillInvoked { step_id: Some(step_id.clone()), skill_id, tool, arguments };
                events::record(tx, &subject, invoked).await?;
                Ok(step_id)
            })
        })
        .await
}

/// Commits what a call did: its writes, its events, its step and its message.
async fn close(turn: &Turn<'_>, call: &ToolCall, step: StepId, ended: Ended) -> Result<()> {
    let (run, subject, call_id) = (turn.run.clone(), turn.subject(), call.id.clone());
    turn.app
        .store
        .write(move |tx| {
            Box::pin(async move {
                let result = ended.record(tx, &subject).await?;
                let (status, output, answer) = match result {
                    Ok(output) => {
                        ("completed", output.to_value(), Answer { content: output.into_text(), is_error: false })
                    }
                    Err(failure) => {
                        let output = json!({ "code": failure.code(), "message": failure.message() });
                        ("failed", output, Answer { content: told_to_model(failure), is_error: true })
                    }
                };
                let end = steps::End { status, output };
                steps::close(tx, &step, end).await?;
                store::messages::insert(tx, &message(&run, call_id, answer, tx.now())).await
            })
        })
        .await
}

/// Answers a call that was not made.
async fn answer(turn: &Turn<'_>, call: &ToolCall, answer: Answer) -> Result<()> {
    let (run, call_id) = (turn.run.clone(), call.id.clone());
    turn.app
        .store
        .write(move |tx| {
            Box::pin(async move {
                let message = message(&run, call_id, answer, tx.now());
                store::messages::insert(tx, &message).await
            })
        })
        .await
}

fn message(run: &super::Run, call_id: String, answer: Answer, now: String) -> Message {
    let mut message = Message::new(run, Role::Tool, answer.content, now);
    message.tool_call_id = Some(call_id);
    message.is_error = answer.is_error;
    message
}
