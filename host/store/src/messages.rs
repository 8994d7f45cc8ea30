//! Messages of sessions.

use moxxy_types::{
    error::Result,
    ids::{RunId, SessionId},
    messages::Message,
    paging::{Page, PageRequest},
};

use super::{Db, Positioned, Tx, to_json};

pub async fn insert(tx: &mut Tx, message: &Message) -> Result<()> {
    let sql = "INSERT INTO messages (id, session, run, role, content, tool_calls, tool_call_id, is_error, quoted,
               thinking, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(sql)
        .bind(message.id.as_str())
        .bind(message.session_id.as_str())
        .bind(message.run_id.as_str())
        .bind(message.role)
        .bind(&message.content)
        .bind(message.tool_calls.as_ref().map(to_json).transpose()?)
        .bind(&message.tool_call_id)
        .bind(message.is_error)
        .bind(message.quoted)
        .bind(message.thinking.as_ref().map(to_json).transpose()?)
        .bind(&message.created_at)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Returns a page of a session's messages, oldest first, optionally of one run only.
pub async fn page(db: &mut Db, session: &SessionId, run: Option<&RunId>, page: &PageRequest) -> Result<Page<Message>> {
    let sql = "SELECT * FROM messages WHERE session = ?1 AND run = COALESCE(?2, run) AND position > ?3
               ORDER BY position LIMIT ?4";
    let after = page.position()?.unwrap_or(0);
    let query = sqlx::query_as(sql).bind(session.as_str()).bind(run.map(RunId::as_str)).bind(after);
    let rows: Vec<Positioned<Message>> = query.bind(page.rows()).fetch_all(db).await?;
    Ok(page.cut(rows, |row| row.position.to_string()).map(|row| row.item))
}

/// Returns all messages of a session, oldest first, optionally of one run only.
pub async fn list(db: &mut Db, session: &SessionId, run: Option<&RunId>) -> Result<Vec<Message>> {
    let sql = "SELECT * FROM messages WHERE session = ?1 AND run = COALESCE(?2, run) ORDER BY position";
    Ok(sqlx::query_as(sql).bind(session.as_str()).bind(run.map(RunId::as_str)).fetch_all(db).await?)
}
