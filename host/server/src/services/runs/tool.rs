//! Execution of the tool calls of a message. If all are read-only, they run concurrently, otherwise one after another.
//! The decision on each call is made in [`approval`](super::approval).

use futures_util::future::try_join_all;
use moxxy_runtime::{AnsweredQuestion, Caller, Failure, Output};
use moxxy_store::{self as store, Tx, events, steps};
use moxxy_types::{
    components::Tool,
    error::{Error, Result},
    events::{Event, EventContext},
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
        commit::StepEnd,
        executor::{Outcome, RunExecutor},
        history::History,
        questions,
        state::StepState,
    },
};

pub(super) async fn run_all(
    executor: &RunExecutor<'_>,
    message: &MessageId,
    mut calls: Vec<ToolCall>,
    state: StepState,
    history: &mut History,
) -> Result<Outcome> {
    let tools = state.tools();
    let gate = ToolCallGate::load(executor, message, state.policy.clone()).await?;
    let mut decisions = Vec::with_capacity(calls.len());
    let mut new = Vec::new();
    for call in &mut calls {
        match gate.decide(call, tools).await? {
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
    let made = if calls.len() == 1 || calls.iter().any(|call| changes_something(call, tools)) {
        in_order(executor, &gate, decisions).await?
    } else {
        let run = |(call, decision)| run(executor, &gate, call, decision, Commit::Now);
        try_join_all(decisions.iter().map(|(call, decision)| (*call, decision)).map(run)).await?
    };
    let mut waiting = Vec::new();
    for progress in made {
        match progress {
            CallProgress::Answered(message) => history.extend([*message]),
            CallProgress::Waits(question) => waiting.push(question),
            CallProgress::Asked | CallProgress::Stopped => {}
        }
    }
    Ok(match waiting.is_empty() {
        _ if executor.control.now.is_cancelled() => Outcome::Stopped,
        true => Outcome::Continue,
        false => Outcome::Wait(waiting),
    })
}

/// When the end of a call is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Commit {
    /// With the start of the next step, which follows at once.
    WithNext,
    Now,
}

/// Progress of a call.
enum CallProgress {
    /// The call has this result.
    Answered(Box<Message>),
    /// The run was stopped, so that the call has no result.
    Stopped,
    /// The call has just asked a question.
    Asked,
    Waits(QuestionId),
}

fn answered(message: Message) -> CallProgress {
    CallProgress::Answered(Box::new(message))
}

/// Runs calls one after another, up to the first without an answer, because later ones may depend on its effects. The
/// decision on each is made anew when its turn comes: the policy, a skill or its permissions may have changed.
async fn in_order(
    executor: &RunExecutor<'_>,
    gate: &ToolCallGate<'_>,
    decisions: Vec<(&ToolCall, GateDecision<'_>)>,
) -> Result<Vec<CallProgress>> {
    let mut made = Vec::new();
    for (index, (call, decision)) in decisions.into_iter().enumerate() {
        if executor.control.is_asked() {
            break;
        }
        let progress = match index {
            0 => run(executor, gate, call, &decision, Commit::WithNext).await?,
            // The end of the call before waits no longer than that of a step.
            _ => executor.with_deferred(decide_and_run(executor, gate.message, call.clone())).await?,
        };
        let is_answered = matches!(progress, CallProgress::Answered(_));
        made.push(progress);
        if !is_answered {
            break;
        }
    }
    Ok(made)
}

async fn decide_and_run(executor: &RunExecutor<'_>, message: &MessageId, mut call: ToolCall) -> Result<CallProgress> {
    let mut db = executor.runs.store.read().await?;
    let run_now = store::runs::get(&mut db, &executor.run.run_id).await?;
    let state = StepState::load(&mut db, run_now).await?;
    drop(db);
    let gate = ToolCallGate::load(executor, message, state.policy.clone()).await?;
    match gate.decide(&mut call, state.tools()).await? {
        GateDecision::RequestApproval(question) => gate.ask(vec![question]).await.map(|()| CallProgress::Asked),
        decision => run(executor, &gate, &call, &decision, Commit::WithNext).await,
    }
}

/// Carries out the decision on a call.
async fn run(
    executor: &RunExecutor<'_>,
    gate: &ToolCallGate<'_>,
    call: &ToolCall,
    decision: &GateDecision<'_>,
    commit: Commit,
) -> Result<CallProgress> {
    match decision {
        GateDecision::AwaitAnswer(question) => Ok(CallProgress::Waits(question.clone())),
        GateDecision::RequestApproval(_) => Ok(CallProgress::Asked),
        GateDecision::Reply(answer) => reply(executor, call, answer.clone()).await.map(answered),
        GateDecision::Execute(skill, tool, answers) => {
            make(executor, gate, call, (skill, tool), answers.clone(), commit).await
        }
    }
}

async fn make(
    executor: &RunExecutor<'_>,
    gate: &ToolCallGate<'_>,
    call: &ToolCall,
    (skill, tool): (&Installation, &Tool),
    answers: Vec<AnsweredQuestion>,
    commit: Commit,
) -> Result<CallProgress> {
    let Value::Object(arguments) = &call.arguments else {
        return Err(Error::internal("a call with checked arguments that are no object"));
    };
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
        return Ok(CallProgress::Stopped);
    }
    match ended.question() {
        Some(question) if !executor.run.unattended => {
            pause(executor, gate.question(call, question.to_owned()), step).await.map(|()| CallProgress::Asked)
        }
        _ => close(executor, call, step, ended, commit).await.map(answered),
    }
}

impl Answer {
    fn from_result(result: &Result<Output, Failure>) -> Self {
        match result {
            Ok(output) => Self { content: output.clone().into_text(), is_error: false, denied: None },
            Err(failure) => Self::error(text_for_model(failure)),
        }
    }
}

/// Returns the text of a failure for the model. The output of a trapped component is only for the operator.
fn text_for_model(failure: &Failure) -> String {
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
        .commit(move |tx| {
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
    let pausing = executor.commit(move |tx| {
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

/// Ends a call, and returns the message with its result.
async fn close(
    executor: &RunExecutor<'_>,
    call: &ToolCall,
    step: StepId,
    ended: ToolCallOutcome,
    commit: Commit,
) -> Result<Message> {
    let message = message(executor, call, Answer::from_result(ended.result()));
    // Its writes may be refused when they are committed.
    let is_certain = !ended.has_writes();
    let end = ToolEnd { subject: executor.subject(), step, ended, message };
    if commit == Commit::Now || !is_certain {
        return executor.commit(move |tx| Box::pin(async move { end.write(tx).await })).await;
    }
    let message = end.message.clone();
    executor.defer(StepEnd::Tool(Box::new(end))).await;
    Ok(message)
}

/// End of a tool call.
#[derive(Debug, Clone)]
pub(super) struct ToolEnd {
    subject: EventContext,
    step: StepId,
    ended: ToolCallOutcome,
    message: Message,
}

impl ToolEnd {
    /// Commits the writes, events, step and message of the call, and returns the message. Does nothing if the step was
    /// closed meanwhile.
    pub(super) async fn write(self, tx: &mut Tx) -> Result<Message> {
        let Self { subject, step, ended, mut message } = self;
        let has_writes = ended.has_writes();
        let is_open = match has_writes {
            true => steps::is_open(tx, &step).await?,
            false => close_step(tx, &step, ended.result()).await?,
        };
        if !is_open {
            return Ok(message);
        }
        let result = ended.record(tx, &subject).await?;
        if has_writes {
            // They may have been refused.
            close_step(tx, &step, &result).await?;
            let answer = Answer::from_result(&result);
            (message.content, message.is_error) = (answer.content, answer.is_error);
        }
        store::messages::insert(tx, &message).await?;
        Ok(message)
    }
}

/// Closes a step with the result of its call. Returns `false` if it is already closed.
async fn close_step(tx: &mut Tx, step: &StepId, result: &Result<Output, Failure>) -> Result<bool> {
    let (status, output) = match result {
        Ok(output) => ("completed", output.to_value()),
        Err(failure) => ("failed", json!({ "code": failure.code(), "message": failure.message() })),
    };
    steps::close(tx, step, steps::End { status, output }).await
}

/// Stores the result of a call that was not made.
async fn reply(executor: &RunExecutor<'_>, call: &ToolCall, answer: Answer) -> Result<Message> {
    let (subject, denied) = (executor.subject(), answer.denied.clone());
    let message = message(executor, call, answer);
    let stored = message.clone();
    executor
        .commit(move |tx| {
            Box::pin(async move {
                if let Some(Denied { skill, tool, reason }) = denied {
                    let (skill_id, reason) = (skill, reason.to_owned());
                    events::record(tx, &subject, Event::SkillDenied { skill_id, tool, reason }).await?;
                }
                store::messages::insert(tx, &stored).await
            })
        })
        .await?;
    Ok(message)
}

/// Returns the message with the result of a call.
fn message(executor: &RunExecutor<'_>, call: &ToolCall, answer: Answer) -> Message {
    let now = executor.runs.store.clock().timestamp();
    let mut message = Message::new(&executor.run, Role::Tool, answer.content, now);
    message.tool_call_id = Some(call.id.clone());
    message.is_error = answer.is_error;
    message
}
