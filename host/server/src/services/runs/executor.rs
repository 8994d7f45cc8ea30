//! Execution loop of one run: derives the next step from the stored state and executes it, until the run has ended.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use moxxy_store::{self as store, Tx, events, model_calls, steps};
use moxxy_system::timeout;
use moxxy_types::{
    clock,
    error::{Error, Result},
    events::{Event, EventContext},
    ids::{MessageId, QuestionId, RunId},
    messages::{Message, Partial, Role, ToolCall},
    model_calls::Status as CallStatus,
    runs::{Failure, Run, Status, Step, StepKind, Stop},
};

use crate::services::completion::budget::Budget;
use crate::services::runs::{
    Runs,
    commit::Deferred,
    control::{Control, Said},
    history::History,
    model,
    output::Conclusion,
    questions,
    state::StepState,
    tool, tool_call_limit,
};

/// Why a run's loop ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The run completed, failed or was cancelled.
    Ended,
    /// The run waits for a person, and resumes after the answer.
    Waiting,
    /// The server is shutting down; the run resumes at its next start.
    Paused,
}

/// Executes the steps of one run.
pub(super) struct RunExecutor<'a> {
    pub runs: &'a Runs,
    pub run: Run,
    pub control: &'a Control,
    pub(super) deferred: Deferred,
}

/// Effect of a step on its run.
pub(super) enum Outcome {
    Continue,
    /// The run has ended.
    Ended,
    /// Wait until these questions are answered.
    Wait(Vec<QuestionId>),
    /// Retry after this time.
    Retry(Duration),
    Failed(Failure),
    Stopped,
}

/// Next step of a run.
enum NextStep {
    Model(StepState),
    /// The calls of this message that have no result yet.
    Tools(MessageId, Vec<ToolCall>, StepState),
    /// The client carries out calls of the last message, which has this text.
    HandOver(String),
    Stop(Stop),
}

pub(super) async fn carry_out(runs: &Runs, id: &RunId, control: &Control) -> Result<End> {
    if !started(runs, id).await? {
        return Ok(End::Ended);
    }
    let mut db = runs.store.read().await?;
    let run = store::runs::get(&mut db, id).await?;
    let state = StepState::load(&mut db, run.clone()).await?;
    drop(db);
    let budget = Budget::new(&state.settings.limits, &runs.config);
    let executor = RunExecutor { runs, run, control, deferred: Deferred::default() };
    let left = executor.time_left(budget.seconds.limit);
    let running = async {
        tokio::select! {
            ended = executor.steps(state) => ended,
            // Dropping the future drops the current step, which interrupts its call.
            () = executor.time_up(left) => executor.fail(budget.out_of_time()).await,
        }
    };
    // What was done before a panic is committed, too.
    let ended = AssertUnwindSafe(running).catch_unwind().await;
    executor.flush().await.and(ended.unwrap_or_else(|_| Err(Error::internal("a run panicked"))))
}

/// Fails a run after an error of the server itself.
pub(super) async fn fail_run(runs: &Runs, id: &RunId, error: &Error) -> Result<()> {
    tracing::error!(run = %id, error = ?error, "failed to execute a run");
    if error.is_database_damaged() {
        runs.store.record_damage();
    }
    let run = match store::runs::get(&mut *runs.store.read().await?, id).await {
        Ok(run) => run,
        // The run was deleted with its agent.
        Err(Error::NotFound(_)) => return Ok(()),
        Err(other) => return Err(other),
    };
    let failure = Failure { code: error.code().to_owned(), message: error.to_string() };
    runs.store.persist(move |tx| Box::pin(async move { fail(tx, &run, failure, None).await })).await
}

/// Moves a queued run to `running` and stores its user message. Returns `false` if the run has ended meanwhile.
async fn started(runs: &Runs, id: &RunId) -> Result<bool> {
    let id = id.clone();
    runs.store
        .persist(move |tx| {
            Box::pin(async move {
                let run = store::runs::get(tx, &id).await?;
                if !store::runs::start(tx, &id).await? {
                    return Ok(run.status == Status::Running);
                }
                let subject = EventContext::run(&run.agent_id, &id);
                events::record(tx, &subject, Event::RunStarted {}).await?;
                let message = Message::new(&run, Role::User, run.task.clone(), tx.now());
                record_user_message(tx, &subject, &message).await?;
                Ok(true)
            })
        })
        .await
}

/// Stores a message to the model.
pub(super) async fn record_user_message(tx: &mut Tx, subject: &EventContext, message: &Message) -> Result<()> {
    store::messages::insert(tx, message).await?;
    let event = Event::MessageUser { message_id: message.id.to_string(), content: message.content.clone() };
    events::record(tx, subject, event).await
}

impl RunExecutor<'_> {
    pub(super) fn subject(&self) -> EventContext {
        EventContext::run(&self.run.agent_id, &self.run.run_id)
    }

    /// Executes steps until the run ends or waits. `state` is that of the first one.
    async fn steps(&self, state: StepState) -> Result<End> {
        let (mut history, mut loaded) = (History::default(), Some(state));
        loop {
            if self.runs.tasks.shutdown().is_cancelled() {
                return Ok(End::Paused);
            }
            if let Err(error) = self.runs.store.check_present() {
                let (code, message) = (error.code().to_owned(), error.to_string());
                return self.fail(Failure { code, message }).await;
            }
            let Some(next) = self.next(&mut history, loaded.take()).await? else { return Ok(End::Ended) };
            let outcome = match next {
                NextStep::Stop(stop) => return self.cancel(stop).await,
                NextStep::HandOver(output) => return self.hand_over(output).await,
                NextStep::Tools(message, calls, state) => {
                    self.with_deferred(self.run_tools(&message, calls, state, &mut history)).await?
                }
                NextStep::Model(state) => self.with_deferred(model::run(self, state, &mut history)).await?,
            };
            match outcome {
                Outcome::Continue => {}
                Outcome::Ended => return Ok(End::Ended),
                Outcome::Wait(questions) => {
                    if self.wait(questions).await? {
                        return Ok(End::Waiting);
                    }
                }
                Outcome::Retry(pause) => tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.control.step.cancelled() => {}
                    () = self.control.now.cancelled() => {}
                    () = self.runs.tasks.shutdown().cancelled() => {}
                },
                Outcome::Failed(failure) => return self.fail(failure).await,
                Outcome::Stopped => return self.cancel(Stop::Now).await,
            }
        }
    }

    async fn run_tools(
        &self,
        message: &MessageId,
        calls: Vec<ToolCall>,
        state: StepState,
        history: &mut History,
    ) -> Result<Outcome> {
        match tool_call_limit::admit(self, &state, history, calls).await? {
            Ok(calls) => tool::run_all(self, message, calls, state, history).await,
            Err(failure) => Ok(Outcome::Failed(failure)),
        }
    }

    /// Returns the next step, derived from the stored state and the deferred writes, or `None` when the run has ended.
    /// `loaded` is the stored state if it was just loaded.
    async fn next(&self, history: &mut History, loaded: Option<StepState>) -> Result<Option<NextStep>> {
        if !history.is_loaded() {
            self.flush().await?;
            history.load(&mut *self.runs.store.read().await?, &self.run).await?;
        }
        let mut state = match loaded {
            Some(state) => state,
            None => {
                let mut db = self.runs.store.read().await?;
                let run = store::runs::get(&mut db, &self.run.run_id).await?;
                if !run.status.is_open() {
                    return Ok(None);
                }
                StepState::load(&mut db, run).await?
            }
        };
        if let Some(stop) = state.run.stop {
            return Ok(Some(NextStep::Stop(stop)));
        }
        state.run.requested_tool_calls += i64::try_from(self.deferred_tool_calls().await).map_err(Error::internal)?;
        Ok(Some(match history.unanswered(&self.run) {
            Some((message, calls)) => NextStep::Tools(message, calls, state),
            None => match history.handed_over(&state.run) {
                Some(output) => NextStep::HandOver(output),
                None => NextStep::Model(state),
            },
        }))
    }

    /// Completes the run, whose client carries out the last calls.
    async fn hand_over(&self, output: String) -> Result<End> {
        let (run, completed) = (self.run.clone(), Conclusion::Completed { output, output_json: None });
        self.commit(move |tx| Box::pin(async move { completed.write(tx, &run, false).await })).await?;
        Ok(End::Ended)
    }

    /// Moves the run to `waiting`, unless one of the questions was answered meanwhile. Returns whether it did.
    async fn wait(&self, questions: Vec<QuestionId>) -> Result<bool> {
        let (id, subject) = (self.run.run_id.clone(), self.subject());
        self.commit(move |tx| {
            Box::pin(async move {
                let waits = store::questions::open_among(tx, &questions).await? == questions.len();
                let paused = waits && store::runs::pause(tx, &id).await?;
                if paused {
                    events::record(tx, &subject, Event::RunWaiting { question_ids: questions }).await?;
                }
                Ok(paused)
            })
        })
        .await
    }

    fn time_left(&self, seconds: u64) -> Duration {
        let started = self.run.started_at.as_deref().and_then(clock::parse);
        let elapsed = started.map_or(time::Duration::ZERO, |started| self.runs.store.clock().now() - started);
        // If the clock was set back, no time has elapsed.
        let elapsed: Duration = elapsed.try_into().unwrap_or_default();
        Duration::from_secs(seconds).saturating_sub(elapsed.saturating_sub(self.run.waited))
    }

    /// Waits until the time is up. Storage outages do not count.
    async fn time_up(&self, mut left: Duration) {
        let mut known = self.runs.store.outage();
        while !left.is_zero() {
            timeout::sleep(left).await;
            let outage = self.runs.store.outage();
            left = outage.saturating_sub(known);
            known = outage;
        }
    }

    async fn fail(&self, failure: Failure) -> Result<End> {
        let (run, said) = (self.run.clone(), self.control.latest_output());
        self.commit(move |tx| Box::pin(async move { fail(tx, &run, failure, said).await })).await?;
        Ok(End::Ended)
    }

    async fn cancel(&self, stop: Stop) -> Result<End> {
        let (run, subject, said) = (self.run.clone(), self.subject(), self.control.latest_output());
        self.commit(move |tx| {
            Box::pin(async move {
                cancel(tx, &run, &subject, stop, said).await?;
                Ok(End::Ended)
            })
        })
        .await
    }
}

/// Cancels a run that was stopped. `said` is what the model said in an open step.
pub(super) async fn cancel(
    tx: &mut Tx,
    run: &Run,
    subject: &EventContext,
    stop: Stop,
    said: Option<Said>,
) -> Result<()> {
    let closed = close_open(tx, run, CallStatus::Cancelled, said).await?;
    record_interrupted_steps(tx, subject, closed, "stopped", "The run was stopped").await?;
    questions::close(tx, run).await?;
    if store::runs::end(tx, &run.run_id, Status::Cancelled, None, None).await? {
        events::record(tx, subject, Event::RunCancelled { mode: stop.into_str() }).await?;
    }
    Ok(())
}

/// Fails a run. `said` is what the model said in an open step.
pub(super) async fn fail(tx: &mut Tx, run: &Run, failure: Failure, said: Option<Said>) -> Result<()> {
    let closed = close_open(tx, run, CallStatus::Failed, said).await?;
    record_interrupted_steps(
        tx,
        &EventContext::run(&run.agent_id, &run.run_id),
        closed,
        &failure.code,
        &failure.message,
    )
    .await?;
    questions::close(tx, run).await?;
    if store::runs::end(tx, &run.run_id, Status::Failed, None, Some(&failure)).await? {
        let failed = Event::RunFailed { code: failure.code, message: failure.message };
        events::record(tx, &EventContext::run(&run.agent_id, &run.run_id), failed).await?;
    }
    Ok(())
}

/// Closes the open steps of a run, and returns them. Keeps what the model said.
pub(super) async fn close_open(
    tx: &mut Tx,
    run: &Run,
    status: CallStatus,
    mut said: Option<Said>,
) -> Result<Vec<Step>> {
    let open = steps::list_open(tx, &run.run_id).await?;
    for step in &open {
        if let Some(call) = &step.model_call {
            let said = said.take_if(|said| said.step == step.step_id).filter(|said| !said.text.trim().is_empty());
            let answer_bytes = said.as_ref().map_or(0, |said| said.text.len() as u64);
            let end = model_calls::End { status, usage: None, answer_bytes, error: None, next: None };
            model_calls::close(tx, call, end).await?;
            if let Some(said) = said {
                let mut message = Message::new(run, Role::Assistant, said.text, tx.now());
                message.partial =
                    Some(if status == CallStatus::Cancelled { Partial::Stopped } else { Partial::Failed });
                model::record_message(tx, &EventContext::run(&run.agent_id, &run.run_id), &message).await?;
            }
        }
        let end = steps::End { status: status.into_str(), output: serde_json::Value::Null };
        steps::close(tx, &step.step_id, end).await?;
    }
    Ok(open)
}

/// Records events for interrupted steps.
async fn record_interrupted_steps(
    tx: &mut Tx,
    subject: &EventContext,
    steps: Vec<Step>,
    code: &str,
    message: &str,
) -> Result<()> {
    for step in steps {
        let (step_id, code, message) = (step.step_id.clone(), code.to_owned(), message.to_owned());
        let told = match step.kind {
            StepKind::Model => {
                let (provider_id, model) = (step.provider(), step.name);
                Event::ModelFailed { step_id, provider_id, model, code, message, usage: None }
            }
            StepKind::Tool => {
                let (skill_id, tool) = step.tool();
                Event::SkillFailed { step_id: Some(step_id), skill_id, tool, code, message, usage: None }
            }
        };
        events::record(tx, subject, told).await?;
    }
    Ok(())
}
