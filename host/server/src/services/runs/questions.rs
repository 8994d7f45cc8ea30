//! Questions of runs, inside the transaction that changes the run: asked, and closed when the run goes on without an
//! answer.

use moxxy_store::{self as store, Tx, events};
use moxxy_types::{
    error::Result,
    events::{Event, EventContext},
    ids::QuestionId,
    questions::{Kind, NewQuestion},
    runs::Run,
};

/// Writes a question down, and tells of it.
pub async fn ask(tx: &mut Tx, run: &Run, new: NewQuestion, seconds: i64) -> Result<()> {
    if new.kind == Kind::Approval {
        // One for another version of the component cannot be given any more.
        for id in store::questions::withdraw_for_call(tx, &new.message, &new.call_id).await? {
            record_expired(tx, run, id, "superseded").await?;
        }
    }
    let question = store::questions::insert(tx, run, new, seconds).await?;
    let requested = Event::AskRequested {
        question_id: question.question_id,
        kind: question.kind.as_str(),
        question: question.question,
        tool: question.tool,
        arguments: question.arguments,
        expires_at: question.expires_at,
    };
    events::record(tx, &EventContext::run(&run.agent_id, &run.run_id), requested).await
}

/// Gives up the open questions of a run that has ended.
pub async fn close(tx: &mut Tx, run: &Run) -> Result<()> {
    for id in store::questions::give_up_all(tx, &run.run_id).await? {
        record_expired(tx, run, id, "run_ended").await?;
    }
    Ok(())
}

/// Takes back the approvals that a run waits for: they may not be needed any more, or are asked for anew.
pub async fn withdraw(tx: &mut Tx, run: &Run) -> Result<()> {
    for id in store::questions::withdraw_all(tx, &run.run_id).await? {
        record_expired(tx, run, id, "superseded").await?;
    }
    Ok(())
}

pub async fn record_expired(tx: &mut Tx, run: &Run, question_id: QuestionId, reason: &'static str) -> Result<()> {
    let subject = EventContext::run(&run.agent_id, &run.run_id);
    events::record(tx, &subject, Event::AskExpired { question_id, reason }).await
}
