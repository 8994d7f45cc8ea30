//! Sessions: conversations of an agent. Each name has at most one open session.

use moxxy_types::{
    agents::AgentKey,
    error::{Error, Result},
    ids::{MessageId, Name, SessionId},
    paging::PageRequest,
    sessions::Session,
};

use super::{Db, Tx};

/// Returns the open session of a conversation. Creates it if there is none.
pub async fn open(tx: &mut Tx, agent: AgentKey, name: &Name) -> Result<SessionId> {
    if let Some(session) = current(tx, agent, name).await? {
        return Ok(session);
    }
    let id = SessionId::random();
    let now = tx.now();
    sqlx::query("INSERT INTO sessions (id, agent, name, created_at) VALUES (?, ?, ?, ?)")
        .bind(id.as_str())
        .bind(agent.0)
        .bind(name.as_str())
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(id)
}

/// Closes a conversation's open session; the next run of the conversation starts a new one.
pub async fn close(tx: &mut Tx, agent: AgentKey, name: &Name) -> Result<()> {
    let now = tx.now();
    sqlx::query("UPDATE sessions SET closed_at = ? WHERE agent = ? AND name = ? AND closed_at IS NULL")
        .bind(now)
        .bind(agent.0)
        .bind(name.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub async fn current(db: &mut Db, agent: AgentKey, name: &Name) -> Result<Option<SessionId>> {
    let sql = "SELECT id FROM sessions WHERE agent = ? AND name = ? AND closed_at IS NULL";
    let id: Option<String> = sqlx::query_scalar(sql).bind(agent.0).bind(name.as_str()).fetch_optional(db).await?;
    Ok(id.map(SessionId::from_db))
}

/// Returns a session of this agent.
pub async fn get(db: &mut Db, agent: AgentKey, id: &SessionId) -> Result<Session> {
    let sql = "SELECT id, name, created_at, closed_at FROM sessions WHERE agent = ? AND id = ?";
    let row: Option<Session> = sqlx::query_as(sql).bind(agent.0).bind(id.as_str()).fetch_optional(db).await?;
    row.ok_or_else(|| Error::not_found("session", id))
}

/// Returns where a session's prompt begins: the position of a message, and the number of messages before it.
pub async fn context(db: &mut Db, id: &SessionId) -> Result<(i64, i64)> {
    let sql = "SELECT context_from, left_out FROM sessions WHERE id = ?";
    Ok(sqlx::query_as(sql).bind(id.as_str()).fetch_one(db).await?)
}

/// Moves the place where a session's prompt begins to a message, unless that was deleted meanwhile.
pub async fn set_context(tx: &mut Tx, id: &SessionId, from: &MessageId, left_out: i64) -> Result<()> {
    let sql = "UPDATE sessions SET context_from = (SELECT position FROM messages WHERE id = ?1), left_out = ?2
               WHERE id = ?3 AND EXISTS (SELECT 1 FROM messages WHERE id = ?1)";
    sqlx::query(sql).bind(from.as_str()).bind(left_out).bind(id.as_str()).execute(&mut **tx).await?;
    Ok(())
}

/// Deletes a session if it has no runs left.
pub async fn delete_without_runs(tx: &mut Tx, id: &SessionId) -> Result<()> {
    let sql = "DELETE FROM sessions WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM runs WHERE session = ?1)";
    sqlx::query(sql).bind(id.as_str()).execute(&mut **tx).await?;
    Ok(())
}

/// Counts anew how many messages are before the beginning of a session's prompt, after some were removed.
pub async fn recount_left_out(tx: &mut Tx, id: &SessionId) -> Result<()> {
    let sql = "UPDATE sessions SET left_out = (SELECT COUNT(*) FROM messages m WHERE m.session = sessions.id
               AND m.position < sessions.context_from) WHERE id = ? AND left_out > 0";
    sqlx::query(sql).bind(id.as_str()).execute(&mut **tx).await?;
    Ok(())
}

/// Closes a session, unless it is closed already.
pub async fn close_one(tx: &mut Tx, id: &SessionId) -> Result<()> {
    let now = tx.now();
    let sql = "UPDATE sessions SET closed_at = ? WHERE id = ? AND closed_at IS NULL";
    sqlx::query(sql).bind(now).bind(id.as_str()).execute(&mut **tx).await?;
    Ok(())
}

/// Deletes a session that has no runs.
pub async fn delete(tx: &mut Tx, id: &SessionId) -> Result<()> {
    sqlx::query("DELETE FROM sessions WHERE id = ?").bind(id.as_str()).execute(&mut **tx).await?;
    Ok(())
}

/// Returns a page of sessions, oldest first.
pub async fn list(db: &mut Db, agent: AgentKey, page: &PageRequest) -> Result<Vec<Session>> {
    let sql = "SELECT id, name, created_at, closed_at FROM sessions WHERE agent = ? AND id > ? ORDER BY id LIMIT ?";
    let query = sqlx::query_as(sql).bind(agent.0).bind(page.after()).bind(page.rows());
    Ok(query.fetch_all(db).await?)
}
