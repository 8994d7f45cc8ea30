//! Messages of sessions.

use moxxy_types::{
    error::{Error, Result},
    ids::{MessageId, RunId, SessionId},
    messages::{Message, Role},
    paging::{Page, PageRequest},
};
use sqlx::FromRow;

use super::{Db, Tx, from_json, to_json};

#[derive(FromRow)]
struct Row {
    position: i64,
    id: String,
    session: String,
    run: String,
    role: String,
    content: String,
    tool_calls: Option<String>,
    tool_call_id: Option<String>,
    is_error: bool,
    quoted: bool,
    thinking: Option<String>,
    created_at: String,
}

pub async fn insert(tx: &mut Tx, message: &Message) -> Result<()> {
    let sql = "INSERT INTO messages (id, session, run, role, content, tool_calls, tool_call_id, is_error, quoted,
               thinking, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(sql)
        .bind(message.id.as_str())
        .bind(message.session_id.as_str())
        .bind(message.run_id.as_str())
        .bind(message.role.as_str())
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
    let rows: Vec<Row> = query.bind(page.rows()).fetch_all(db).await?;
    page.cut(rows, |row| row.position.to_string()).try_map(TryInto::try_into)
}

/// Returns all messages of a session, oldest first, optionally of one run only.
pub async fn list(db: &mut Db, session: &SessionId, run: Option<&RunId>) -> Result<Vec<Message>> {
    let sql = "SELECT * FROM messages WHERE session = ?1 AND run = COALESCE(?2, run) ORDER BY position";
    let rows: Vec<Row> = sqlx::query_as(sql).bind(session.as_str()).bind(run.map(RunId::as_str)).fetch_all(db).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

impl TryFrom<Row> for Message {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: MessageId::from_db(row.id),
            session_id: SessionId::from_db(row.session),
            run_id: RunId::from_db(row.run),
            role: Role::named(&row.role).ok_or_else(|| Error::internal("an unknown role of a message"))?,
            content: row.content,
            tool_calls: row.tool_calls.as_deref().map(from_json).transpose()?,
            tool_call_id: row.tool_call_id,
            is_error: row.is_error,
            quoted: row.quoted,
            thinking: row.thinking.as_deref().map(from_json).transpose()?,
            created_at: row.created_at,
        })
    }
}
