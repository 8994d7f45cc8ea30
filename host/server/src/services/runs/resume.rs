//! Resumption after a restart. Runs that had not ended resume, unless they wait for a person. An interrupted model
//! call is repeated, and an interrupted tool call if the operator allows it. Otherwise the outcome of the tool call is
//! unknown, and the model is told so.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use moxxy_store::{self as store, Tx, events};
use moxxy_types::{
    error::Result,
    events::{Event, EventContext},
    ids::SessionId,
    messages::{Message, Role},
    model_calls::Status,
    runs::{Run, Status as RunStatus, StepKind, Stop},
};

use crate::services::runs::{Runs, executor, queue};

/// Number of runs that are resumed at the same time.
const MAX_RESUMED_AT_ONCE: usize = 64;
const UNKNOWN: &str = "The server stopped while this call was running. Its outcome is unknown: it may have had its \
                       effect or not. Find out before you repeat it.";

/// Resumes every run that had not ended. In a restored server they wait for its activation.
pub async fn resume_all(runs: &Runs) -> Result<()> {
    if runs.activation.is_pending() {
        return Ok(());
    }
    let open = store::runs::open(&mut *runs.store.read().await?).await?;
    let resuming = open.into_iter().map(|run| async move {
        if run.status == RunStatus::Running {
            let interrupted = run.clone();
            runs.store.write(move |tx| Box::pin(async move { resume(tx, &interrupted).await })).await?;
        }
        queue::wake(runs, &run);
        Ok(())
    });
    // Many at once, so that one commit resumes many.
    stream::iter(resuming).buffer_unordered(MAX_RESUMED_AT_ONCE).try_collect().await
}

/// Resumes the interrupted run of a session, as after a restart.
pub(super) async fn resume_interrupted(runs: &Runs, session: &SessionId) -> Result<()> {
    let mut db = runs.store.read().await?;
    let Some(id) = store::runs::next_in(&mut db, session).await? else { return Ok(()) };
    let run = store::runs::get(&mut db, &id).await?;
    let cut_off = !store::steps::list_open(&mut db, &id).await?.is_empty();
    drop(db);
    match run.status {
        RunStatus::Running if cut_off => {
            runs.store.write(move |tx| Box::pin(async move { resume(tx, &run).await })).await
        }
        _ => Ok(()),
    }
}

/// Cancels every run of a restored server that had not ended. Returns the number of runs.
pub async fn cancel_all(tx: &mut Tx, actor: &str) -> Result<usize> {
    let open = store::runs::open(tx).await?;
    for run in &open {
        let subject = EventContext::run(&run.agent_id, &run.run_id).by(actor);
        executor::cancel(tx, run, &subject, Stop::Now, None).await?;
    }
    Ok(open.len())
}

async fn resume(tx: &mut Tx, run: &Run) -> Result<()> {
    let mut interrupted = Vec::new();
    store::runs::extend_time_limit(tx, &run.run_id).await?;
    let policy = store::agents::policy(tx, run.agent).await?;
    for step in executor::close_open(tx, run, Status::Interrupted, None).await? {
        let outcome = match step.kind {
            StepKind::Model => "repeated",
            StepKind::Tool if policy.repeats(&step.name) => "repeated",
            StepKind::Tool => "unknown",
        };
        if let (Some(call_id), "unknown") = (step.call_id(), outcome) {
            let mut message = Message::new(run, Role::Tool, UNKNOWN.to_owned(), tx.now());
            (message.tool_call_id, message.is_error) = (Some(call_id.to_owned()), true);
            store::messages::insert(tx, &message).await?;
        }
        let kind = step.kind.into_str().to_owned();
        interrupted.push(moxxy_types::events::Interrupted { step_id: step.step_id.to_string(), kind, outcome });
    }
    let subject = EventContext::run(&run.agent_id, &run.run_id);
    events::record(tx, &subject, Event::RunResumed { interrupted }).await
}
