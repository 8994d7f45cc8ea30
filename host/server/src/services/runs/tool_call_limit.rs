//! Limit of tool calls per run, enforced before any is made. Calls above the limit get a result that says so, so that
//! the model can still answer with what it has. If it requests more calls nevertheless, the run fails.

use moxxy_store as store;
use moxxy_types::{
    error::Result,
    messages::{Message, Role, ToolCall},
    runs::Failure,
};

use crate::services::completion::budget::Budget;
use crate::services::runs::{executor::RunExecutor, history::History, state::StepState};

/// Returns the calls that may be made, and answers the others.
pub(super) async fn admit(
    executor: &RunExecutor<'_>,
    state: &StepState,
    history: &mut History,
    mut calls: Vec<ToolCall>,
) -> Result<Result<Vec<ToolCall>, Failure>> {
    let budget = Budget::new(&state.settings.limits, &executor.runs.config);
    let limit = usize::try_from(budget.tool_calls.limit).unwrap_or(usize::MAX);
    let last = history.messages().iter().rfind(|message| message.role == Role::Assistant);
    let last = last.map(Message::calls).unwrap_or_default();
    // Counts requested calls, which are stored, so a restart changes nothing.
    let requested = state.run.requested_tool_calls;
    let earlier = usize::try_from(requested).unwrap_or(usize::MAX).saturating_sub(last.len());
    if earlier > limit {
        return Ok(Err(budget.out_of_tool_calls()));
    }
    let allowed: Vec<_> = last.iter().take(limit - earlier).collect();
    let refused = calls.extract_if(.., |call| !allowed.iter().any(|allowed| allowed.id == call.id)).collect::<Vec<_>>();
    if !refused.is_empty() {
        refuse(executor, history, refused, limit).await?;
    }
    Ok(Ok(calls))
}

async fn refuse(executor: &RunExecutor<'_>, history: &mut History, calls: Vec<ToolCall>, limit: usize) -> Result<()> {
    let run = executor.run.clone();
    let why = format!(
        "This call was not made: the task used up its {limit} tool calls. Answer with what you have; another call ends it."
    );
    let refusal = |call: ToolCall| {
        let mut message = Message::new(&run, Role::Tool, why.clone(), executor.runs.store.clock().timestamp());
        (message.tool_call_id, message.is_error) = (Some(call.id), true);
        message
    };
    let messages: Vec<_> = calls.into_iter().map(refusal).collect();
    history.extend(messages.clone());
    executor
        .commit(move |tx| {
            Box::pin(async move {
                for message in messages {
                    store::messages::insert(tx, &message).await?;
                }
                Ok(())
            })
        })
        .await
}
