//! Conversations that a client sends again: with more at the end, or as the repetition of a request.

use moxxy_store::{self as store, Db, Tx, chat_turns::Turn};
use moxxy_types::{
    agents::AgentKey,
    digest,
    error::{Error, Result},
    ids::{RunId, SessionId},
    messages::{Message, Role},
    runs::{Run, Status},
    tokens::Principal,
};

use crate::services::{
    chat::{ClientMessage, Conversation, EarlierMessage, Request, answer},
    runs::Runs,
};

/// Hash of a conversation up to one of its messages.
pub(super) type Hash = [u8; 32];

/// Time after which an equal request is a new one.
const MAX_REPEATED_AFTER_SECONDS: i64 = 600;

/// Place of a conversation among the sessions.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// The session that it continues; `None`: it begins one.
    pub session: Option<SessionId>,
    /// Number of its messages that are known there.
    pub known: usize,
    /// What was said before it in a session that has gone on since.
    pub branch: Vec<EarlierMessage>,
}

/// Returns the hash of the conversation up to each message.
pub(super) fn hashes(conversation: &Conversation) -> Vec<Hash> {
    let next = |before: &mut Hash, message: &ClientMessage| {
        *before = digest::sha256(&[&before[..], &digest::sha256(message.fingerprint.as_bytes())].concat());
        Some(*before)
    };
    let previous = conversation.options.previous.as_ref();
    let begin = previous.map(|run| digest::sha256(run.as_str().as_bytes())).unwrap_or_default();
    conversation.messages.iter().scan(begin, next).collect()
}

/// Returns the place of a conversation that a client sends whole. It continues a session if the conversation of the
/// session's last run is the beginning of it, followed by the answer of that run.
pub(super) async fn continued(
    tx: &mut Tx,
    agent: AgentKey,
    principal: &Principal,
    messages: &[ClientMessage],
    hashes: &[Hash],
) -> Result<Place> {
    let Some((_, earlier)) = messages.split_last() else { return Ok(Place::default()) };
    // Each answer before the last message, with the hash up to the message that it answers.
    let answers = earlier.iter().skip(1).zip(hashes).zip(2..);
    let answers = answers.filter_map(|((message, hash), known)| Some((message.answer.as_ref()?, hash, known)));
    let answers: Vec<_> = answers.collect();
    let answered: Vec<Hash> = answers.iter().map(|(_, hash, _)| **hash).collect();
    let turns = store::chat_turns::find(tx, agent, principal.name(), &answered).await?;
    for (answer, hash, known) in answers.into_iter().rev() {
        for turn in turns.iter().filter(|turn| turn.is_last && turn.hash == *hash) {
            if answer_of(tx, &turn.run).await?.trim() == answer.trim() {
                return Ok(Place { session: Some(turn.session.clone()), known, branch: Vec::new() });
            }
        }
    }
    Ok(Place::default())
}

/// Returns the place of messages after a run of the same caller. If its session has gone on since, they branch off.
pub(super) async fn after(tx: &mut Tx, agent: AgentKey, principal: &Principal, previous: &RunId) -> Result<Place> {
    let invalid = |reason: &str| Err(Error::invalid_field("previous_response_id", reason));
    let Ok(run) = store::runs::get(tx, previous).await else { return invalid("there is no such response") };
    if run.agent != agent || run.started_by != principal.name() || !run.origin.is_chat() {
        return invalid("there is no such response of this agent to this token");
    }
    if run.status.is_open() {
        return invalid("that response has not ended");
    }
    if store::chat_turns::is_last(tx, previous).await? {
        return Ok(Place { session: Some(run.session_id), ..Place::default() });
    }
    let said = store::messages::up_to(tx, &run.session_id, previous).await?;
    let is_text = |message: &Message| message.role != Role::Tool && !message.content.trim().is_empty();
    let said = said.into_iter().filter(is_text).map(|Message { role, content, .. }| EarlierMessage { role, content });
    Ok(Place { branch: said.collect(), ..Place::default() })
}

async fn answer_of(db: &mut Db, run: &RunId) -> Result<String> {
    let run = store::runs::get(db, run).await?;
    answer::content(db, &run).await
}

/// Returns the run of an equal request that this one repeats: its client has left while it was running, or says now that
/// it repeats a request. A run that failed before it called a tool is not joined, so that another one may succeed.
pub(super) async fn repeated(
    runs: &Runs,
    principal: &Principal,
    request: &Request,
    hashes: &[Hash],
) -> Result<Option<Run>> {
    let Request { agent, attempt, conversation, .. } = request;
    let Some(hash) = hashes.last() else { return Ok(None) };
    let mut db = runs.store.read().await?;
    let key = store::agents::get(&mut db, agent).await?.key;
    let turns = store::chat_turns::find(&mut db, key, principal.name(), &[*hash]).await?;
    let Some(Turn { run, .. }) = turns.into_iter().next() else { return Ok(None) };
    let run = store::runs::get(&mut db, &run).await?;
    let is_joined = match run.status {
        _ if run.options != conversation.options => false,
        _ if run.created_at < runs.store.clock().after(-MAX_REPEATED_AFTER_SECONDS) => false,
        status if status.is_open() => attempt.is_repeated || runs.present.is_empty(&run.run_id),
        Status::Completed => attempt.is_repeated,
        _ => attempt.is_repeated && store::steps::any_tool_call(&mut db, &run.run_id).await?,
    };
    Ok(is_joined.then_some(run))
}
