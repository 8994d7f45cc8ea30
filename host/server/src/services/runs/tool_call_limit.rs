//! Limit of tool calls per run, enforced before any is made. Calls above the limit get a result that says so, so that
//! the model can still answer with what it has. If it requests more calls nevertheless, the run fails.

use moxxy_store as store;
use moxxy_types::{
    error::Result,
    messages::{Message, Role, ToolCall},
    runs::Failure,
};

use crate::services::runs::executor::RunExecutor;

/// Returns the calls that may be made, and answers the others.
pub(super) async fn admit(
    executor: &RunExecutor<'_>,
    mut calls: Vec<ToolCall>,
) -> Result<Result<Vec<ToolCall>, Failure>> {
    let budget = executor.budget();
    let limit = usize::try_from(budget.tool_calls.limit).unwrap_or(usize::MAX);
    let (session, run) = (&executor.run.session_id, &executor.run.run_id);
    let ours = store::messages::list(&mut *executor.runs.store.read().await?, session, Some(run)).await?;
    // Counts requested calls, which are stored, so a restart changes nothing.
    let (last, earlier) = match ours.iter().rposition(|message| message.role == Role::Assistant) {
        Some(last) => (ours.get(last), ours.get(..last).unwrap_or_default()),
        None => (None, &[][..]),
    };
    let earlier: usize = earlier.iter().map(|message| message.calls().len()).sum();
    if earlier > limit {
        return Ok(Err(budget.out_of_tool_calls()));
    }
    let allowed: Vec<_> = last.iter().flat_map(|message| message.calls()).take(limit - earlier).collect();
    let refused = calls.extract_if(.., |call| !allowed.iter().any(|allowed| allowed.id == call.id)).collect::<Vec<_>>();
    if !refused.is_empty() {
        refuse(executor, refused, limit).await?;
    }
    Ok(Ok(calls))
}

async fn refuse(executor: &RunExecutor<'_>, calls: Vec<ToolCall>, limit: usize) -> Result<()> {
    let run = executor.run.clone();
    let why = format!(
        "This call was not made: the task used up its {limit} tool calls. Answer with what you have; another call ends it."
    );
    executor
        .runs
        .store
        .write(move |tx| {
            Box::pin(async move {
                for call in calls {
                    let mut message = Message::new(&run, Role::Tool, why.clone(), tx.now());
                    (message.tool_call_id, message.is_error) = (Some(call.id), true);
                    store::messages::insert(tx, &message).await?;
                }
                Ok(())
            })
        })
        .await
}
