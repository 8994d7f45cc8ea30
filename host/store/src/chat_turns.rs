//! Conversations that clients of chat completions sent, by their hash.

use moxxy_types::{
    agents::AgentKey,
    error::Result,
    ids::{RunId, SessionId},
};
use sqlx::FromRow;

use super::{Db, Tx, to_json};

/// A run that a conversation started.
#[derive(Debug, Clone, FromRow)]
pub struct Turn {
    /// Hash of the conversation.
    pub hash: Vec<u8>,
    pub run: RunId,
    pub session: SessionId,
    /// Whether the run has completed, and is the last one of its open session.
    pub is_last: bool,
}

pub async fn insert(tx: &mut Tx, run: &RunId, agent: AgentKey, caller: &str, hash: &[u8; 32]) -> Result<()> {
    sqlx::query("INSERT INTO chat_turns (run, agent, caller, hash) VALUES (?, ?, ?, ?)")
        .bind(run.as_str())
        .bind(agent.0)
        .bind(caller)
        .bind(&hash[..])
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Whether a run is the last one of its open session.
pub async fn is_last(db: &mut Db, run: &RunId) -> Result<bool> {
    let sql = "SELECT s.closed_at IS NULL AND r.position = (SELECT MAX(position) FROM runs WHERE session = r.session)
               FROM runs r JOIN sessions s ON s.id = r.session WHERE r.id = ?";
    Ok(sqlx::query_scalar(sql).bind(run.as_str()).fetch_one(db).await?)
}

/// Returns the runs of a caller with an agent that conversations with these hashes started, latest first.
pub async fn find(db: &mut Db, agent: AgentKey, caller: &str, hashes: &[[u8; 32]]) -> Result<Vec<Turn>> {
    let sql = "SELECT t.hash, t.run, r.session, r.status = 'completed' AND s.closed_at IS NULL AND r.position =
               (SELECT MAX(position) FROM runs WHERE session = r.session) AS is_last
               FROM chat_turns t JOIN runs r ON r.id = t.run JOIN sessions s ON s.id = r.session
               WHERE t.agent = ? AND t.caller = ? AND t.hash IN (SELECT unhex(value) FROM json_each(?))
               ORDER BY r.position DESC";
    let hashes: Vec<_> = hashes.iter().map(hex::encode).collect();
    Ok(sqlx::query_as(sql).bind(agent.0).bind(caller).bind(to_json(&hashes)?).fetch_all(db).await?)
}
