//! Conversations that a client sends again: with more at the end, or as the repetition of a request.

use moxxy_store::{self as store, Db, Tx, chat_turns::Turn};
use moxxy_types::{
    agents::AgentKey,
    digest,
    error::Result,
    ids::{Name, RunId, SessionId},
    runs::{Run, Status},
    tokens::Principal,
};

use crate::services::{
    chat::{Attempt, ClientMessage, answer},
    runs::Runs,
};

/// Hash of a conversation up to one of its messages.
pub(super) type Hash = [u8; 32];

/// Time after which an equal request is a new one.
const MAX_REPEATED_AFTER_SECONDS: i64 = 600;

/// Returns the hash of the conversation up to each message.
pub(super) fn hashes(messages: &[ClientMessage]) -> Vec<Hash> {
    let next = |before: &mut Hash, message: &ClientMessage| {
        *before = digest::sha256(&[&before[..], &digest::sha256(message.fingerprint.as_bytes())].concat());
        Some(*before)
    };
    messages.iter().scan(Hash::default(), next).collect()
}

/// Returns the session that a conversation continues, and how many of its messages are known there. The conversation of
/// the session's last run has to be the beginning of it, followed by the answer of that run.
pub(super) async fn continued(
    tx: &mut Tx,
    agent: AgentKey,
    principal: &Principal,
    messages: &[ClientMessage],
    hashes: &[Hash],
) -> Result<Option<(SessionId, usize)>> {
    // A message of the user, the answer to it, and at least one message more.
    let Some(last) = messages.len().checked_sub(3) else { return Ok(None) };
    let turns = store::chat_turns::find(tx, agent, principal.name(), &hashes[..=last]).await?;
    for index in (0..=last).rev() {
        let Some(answer) = &messages[index + 1].answer else { continue };
        for turn in turns.iter().filter(|turn| turn.is_last && turn.hash == hashes[index]) {
            if answer_of(tx, &turn.run).await?.trim() == answer.trim() {
                return Ok(Some((turn.session.clone(), index + 2)));
            }
        }
    }
    Ok(None)
}

async fn answer_of(db: &mut Db, run: &RunId) -> Result<String> {
    let options = store::runs::get(db, run).await?.options;
    answer::content(db, run, &options).await
}

/// Returns the run of an equal request that this one repeats: its client has left while it was running, or says now that
/// it repeats a request. A run that failed before it called a tool is not joined, so that another one may succeed.
pub(super) async fn repeated(
    runs: &Runs,
    principal: &Principal,
    agent: &Name,
    hashes: &[Hash],
    attempt: Attempt,
) -> Result<Option<Run>> {
    let Some(hash) = hashes.last() else { return Ok(None) };
    let mut db = runs.store.read().await?;
    let key = store::agents::get(&mut db, agent).await?.key;
    let turns = store::chat_turns::find(&mut db, key, principal.name(), &[*hash]).await?;
    let Some(Turn { run, .. }) = turns.into_iter().next() else { return Ok(None) };
    let run = store::runs::get(&mut db, &run).await?;
    let is_joined = match run.status {
        _ if run.created_at < runs.store.clock().after(-MAX_REPEATED_AFTER_SECONDS) => false,
        status if status.is_open() => attempt.is_repeated || runs.present.is_empty(&run.run_id),
        Status::Completed => attempt.is_repeated,
        _ => attempt.is_repeated && store::steps::any_tool_call(&mut db, &run.run_id).await?,
    };
    Ok(is_joined.then_some(run))
}
