//! Execution of the tool calls of a message. If all are read-only, they run concurrently, otherwise one after another.
//! The decision on each call is made in [`approval`](super::approval).

use futures_util::future::try_join_all;
use moxxy_runtime::{AnsweredQuestion, Caller, Failure};
use moxxy_store::{self as store, events, steps};
use moxxy_types::{
    components::Tool,
    error::Result,
    events::Event,
    ids::{MessageId, QuestionId, StepId},
    installations::Installation,
    messages::{Message, Role, ToolCall},
    questions::NewQuestion,
    runs::StepKind,
};
use serde_json::{Map, Value, json};

use crate::services::{
    invocations::{self, Invocation, ToolCallOutcome},
    runs::{
        approval::{Answer, Denied, GateDecision, ToolCallGate, changes_something},
        executor::{Outcome, RunExecutor},
        questions,
        state::StepState,
    },
};

pub(super) async fn run_all(
    executor: &RunExecutor<'_>,
    message: &MessageId,
    mut calls: Vec<ToolCall>,
    state: StepState,
) -> Result<Outcome> {
    let StepState { policy, skills, .. } = state;
    let skills = &*skills;
    let gate = ToolCallGate::load(executor, message, policy).await?;
    let mut decisions = Vec::with_capacity(calls.len());
    let mut new = Vec::new();
    for call in &mut calls {
        match gate.decide(call, skills).await? {
            GateDecision::RequestApproval(question) => new.push(question),
            decision => decisions.push(decision),
        }
    }
    if !new.is_empty() {
        // All at once, so that people see all of them.
        gate.ask(new).await?;
        return Ok(Outcome::Continue);
    }
    let decisions: Vec<_> = calls.iter().zip(decisions).collect();
    let made = if calls.iter().any(|call| changes_something(call, skills)) {
        in_order(executor, &gate, decisions).await?
    } else {
        try_join_all(decisions.iter().map(|(call, decision)| run(executor, &gate, call, decision))).await?
    };
    let waits = |made| if let CallProgress::Waits(question) = made { Some(question) } else { None };
    let waiting: Vec<_> = made.into_iter().filter_map(waits).collect();
    Ok(match waiting.is_empty() {
        _ if executor.control.now.is_cancelled() => Outcome::Stopped,
        true => Outcome::Continue,
        false => Outcome::Wait(waiting),
    })
}

/// Progress of a call.
enum CallProgress {
    Answered,
    /// The call has just asked a question.
    Asked,
    Waits(QuestionId),
}

/// Runs calls one after another, up to the first without an answer, because later ones may depend on its effects. The
/// decision on each is made anew when its turn comes: the policy, a skill or its permissions may have changed.
async fn in_order(
    executor: &RunExecutor<'_>,
    gate: &ToolCallGate<'_>,
    decisions: Vec<(&ToolCall, GateDecision<'_>)>,
) -> Result<Vec<CallProgress>> {
    for (index, (call, decision)) in decisions.into_iter().enumerate() {
        if executor.control.is_asked() {
            break;
        }
        let progress = match index {
            0 => run(executor, gate, call, &decision).await?,
            _ => decide_and_run(executor, gate.message, call.clone()).await?,
        };
        match progress {
            CallProgress::Answered => {}
            open => return Ok(vec![open]),
        }
    }
    Ok(Vec::new())
}

async fn decide_and_run(executor: &RunExecutor<'_>, message: &MessageId, mut call: ToolCall) -> Result<CallProgress> {
    let mut db = executor.runs.store.read().await?;
    let run_now = store::runs::get(&mut db, &executor.run.run_id).await?;
    let StepState { policy, skills, .. } = StepState::load(&mut db, run_now).await?;
    drop(db);
    let gate = ToolCallGate::load(executor, message, policy).await?;
    match gate.decide(&mut call, &skills).await? {
        GateDecision::RequestApproval(question) => gate.ask(vec![question]).await.map(|()| CallProgress::Asked),
        decision => run(executor, &gate, &call, &decision).await,
    }
}

/// Carries out the decision on a call.
async fn run(
    executor: &RunExecutor<'_>,
    gate: &ToolCallGate<'_>,
    call: &ToolCall,
    decision: &GateDecision<'_>,
) -> Result<CallProgress> {
    match decision {
        GateDecision::AwaitAnswer(question) => Ok(CallProgress::Waits(question.clone())),
        GateDecision::RequestApproval(_) => Ok(CallProgress::Asked),
        GateDecision::Reply(answer) => reply(executor, call, answer.clone()).await.map(|()| CallProgress::Answered),
        GateDecision::Execute(skill, tool, answers) => make(executor, gate, call, (skill, tool), answers.clone()).await,
    }
}

async fn make(
    executor: &RunExecutor<'_>,
    gate: &ToolCallGate<'_>,
    call: &ToolCall,
    (skill, tool): (&Installation, &Tool),
    answers: Vec<AnsweredQuestion>,
) -> Result<CallProgress> {
    let Value::Object(arguments) = &call.arguments else { return Ok(CallProgress::Answered) };
    let step = open(executor, call, skill, tool, arguments).await?;
    let stop = executor.control.now.clone();
    let (agent, tool) = (executor.run.agent, tool.name.as_str());
    let run = (executor.run.session_id.clone(), executor.run.run_id.clone());
    let caller = Caller { agent: executor.run.agent_id.clone(), run: Some(run) };
    let answers = Some(answers);
    let invocation = Invocation { agent, caller, skill, tool, arguments, answers, step: Some(&step), stop };
    let ended = invocations::call(&executor.runs.components, invocation).await?;
    if executor.control.now.is_cancelled() {
        // The result is too late and discarded: the run is cancelled with its open steps.
        return Ok(CallProgress::Answered);
    }
    match ended.question() {
        Some(question) if !executor.run.unattended => {
            pause(executor, gate.question(call, question.to_owned()), step).await.map(|()| CallProgress::Asked)
        }
        _ => close(executor, call, step, ended).await.map(|()| CallProgress::Answered),
    }
}

/// Returns the text of a failure for the model. The output of a trapped component is only for the operator.
fn told_to_model(failure: Failure) -> String {
    match failure {
        Failure::Trapped { .. } => "The skill broke while it carried out the call.".to_owned(),
        Failure::Pending { question } => {
            format!("Nobody can be asked now, and without an answer it goes no further: {question}")
        }
        other => other.message().to_owned(),
    }
}

async fn open(
    executor: &RunExecutor<'_>,
    call: &ToolCall,
    skill: &Installation,
    tool: &Tool,
    arguments: &Map<String, Value>,
) -> Result<StepId> {
    let (run, subject, call_id) = (executor.run.clone(), executor.subject(), call.id.clone());
    let (name, skill_id, tool) = (call.name.clone(), skill.name.clone(), tool.name.clone());
    let arguments = Value::Object(arguments.clone());
    executor
        .runs
        .store
        .persist(move |tx| {
            Box::pin(async move {
                let input = json!({ "call_id": call_id, "arguments": arguments });
                let step_id = steps::open(tx, &run, StepKind::Tool, &name, &input, None).await?;
                let invoked = Event::SkillInvoked { step_id: Some(step_id.clone()), skill_id, tool, arguments };
                events::record(tx, &subject, invoked).await?;
                Ok(step_id)
            })
        })
        .await
}

/// Suspends a call that asked the user a question. Its effects are discarded, and it is repeated after the answer.
async fn pause(executor: &RunExecutor<'_>, question: NewQuestion, step: StepId) -> Result<()> {
    let (run, seconds) = (executor.run.clone(), executor.runs.config.runs.question_time);
    let pausing = executor.runs.store.persist(move |tx| {
        Box::pin(async move {
            let end = steps::End { status: "pending", output: Value::Null };
            match steps::close(tx, &step, end).await? {
                true => questions::ask(tx, &run, question, seconds).await,
                false => Ok(()),
            }
        })
    });
    pausing.await?;
    Ok(())
}

/// Commits the writes, events, step and message of a call. Does nothing if the step was closed meanwhile.
async fn close(executor: &RunExecutor<'_>, call: &ToolCall, step: StepId, ended: ToolCallOutcome) -> Result<()> {
    let (run, subject, call_id) = (executor.run.clone(), executor.subject(), call.id.clone());
    executor
        .runs
        .store
        .persist(move |tx| {
            Box::pin(async move {
                if !steps::is_open(tx, &step).await? {
                    return Ok(());
                }
                let result = ended.record(tx, &subject).await?;
                let (status, output, answer) = match result {
                    Ok(output) => (
                        "completed",
                        output.to_value(),
                        Answer { content: output.into_text(), is_error: false, denied: None },
                    ),
                    Err(failure) => {
                        let output = json!({ "code": failure.code(), "message": failure.message() });
                        ("failed", output, Answer::error(told_to_model(failure)))
                    }
                };
                let end = steps::End { status, output };
                steps::close(tx, &step, end).await?;
                store::messages::insert(tx, &message(&run, call_id, answer, tx.now())).await
            })
        })
        .await
}

/// Stores the result of a call that was not made.
async fn reply(executor: &RunExecutor<'_>, call: &ToolCall, answer: Answer) -> Result<()> {
    let (run, subject, call_id) = (executor.run.clone(), executor.subject(), call.id.clone());
    executor
        .runs
        .store
        .persist(move |tx| {
            Box::pin(async move {
                if let Some(Denied { skill, tool, reason }) = &answer.denied {
                    let (skill_id, tool, reason) = (skill.clone(), tool.clone(), (*reason).to_owned());
                    events::record(tx, &subject, Event::SkillDenied { skill_id, tool, reason }).await?;
                }
                let message = message(&run, call_id, answer, tx.now());
                store::messages::insert(tx, &message).await
            })
        })
        .await
}

fn message(run: &moxxy_types::runs::Run, call_id: String, answer: Answer, now: String) -> Message {
    let mut message = Message::new(run, Role::Tool, answer.content, now);
    message.tool_call_id = Some(call_id);
    message.is_error = answer.is_error;
    message
}
