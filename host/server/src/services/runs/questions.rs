//! Questions of runs, in the transaction that changes the run: asks them, and closes them if the run proceeds without
//! an answer.

use moxxy_store::{self as store, Tx, events};
use moxxy_types::{
    error::Result,
    events::{Event, EventContext},
    ids::QuestionId,
    questions::{Kind, NewQuestion},
    runs::Run,
};

/// Stores a question and records its event.
pub(super) async fn ask(tx: &mut Tx, run: &Run, new: NewQuestion, seconds: i64) -> Result<()> {
    if new.kind == Kind::Approval {
        // An approval for another version of the component is obsolete.
        for id in store::questions::withdraw_for_call(tx, &new.message, &new.call_id).await? {
            record_expired(tx, run, id, "superseded").await?;
        }
    }
    let question = store::questions::insert(tx, run, new, seconds).await?;
    let requested = Event::AskRequested {
        question_id: question.question_id,
        kind: question.kind.into_str(),
        question: question.question,
        tool: question.tool,
        arguments: question.arguments,
        expires_at: question.expires_at,
    };
    events::record(tx, &EventContext::run(&run.agent_id, &run.run_id), requested).await
}

/// Expires the open questions of a run that has ended.
pub(super) async fn close(tx: &mut Tx, run: &Run) -> Result<()> {
    for id in store::questions::expire_all(tx, &run.run_id).await? {
        record_expired(tx, run, id, "run_ended").await?;
    }
    Ok(())
}

/// Withdraws the open approvals of a run: they are no longer needed, or are requested again.
pub(super) async fn withdraw(tx: &mut Tx, run: &Run) -> Result<()> {
    for id in store::questions::withdraw_all(tx, &run.run_id).await? {
        record_expired(tx, run, id, "superseded").await?;
    }
    Ok(())
}

pub(crate) async fn record_expired(
    tx: &mut Tx,
    run: &Run,
    question_id: QuestionId,
    reason: &'static str,
) -> Result<()> {
    let subject = EventContext::run(&run.agent_id, &run.run_id);
    events::record(tx, &subject, Event::AskExpired { question_id, reason }).await
}
