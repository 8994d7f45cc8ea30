//! Messages of sessions.

use moxxy_types::{
    error::{Error, Result},
    ids::{RunId, SessionId},
    messages::Message,
    paging::{Page, PageRequest},
};

use super::{
    Db, Positioned, Tx, to_json,
    usage::{self, Change},
};

pub async fn insert(tx: &mut Tx, message: &Message) -> Result<()> {
    let sql = "INSERT INTO messages (id, session, run, role, content, tool_calls, tool_call_id, is_error, quoted,
               partial, thinking, opaque, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
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
        .bind(message.partial)
        .bind(message.thinking.as_ref().map(to_json).transpose()?)
        .bind(message.opaque.as_ref().map(to_json).transpose()?)
        .bind(&message.created_at)
        .execute(&mut **tx)
        .await?;
    if let calls @ 1.. = message.calls().len() {
        let calls = i64::try_from(calls).map_err(Error::internal)?;
        usage::add_to_run(tx, &message.run_id, Change::default(), calls);
    }
    Ok(())
}

/// Returns a page of a session's messages, oldest first, optionally of one run only.
pub async fn page(db: &mut Db, session: &SessionId, run: Option<&RunId>, page: &PageRequest) -> Result<Page<Message>> {
    let (sql, id) = match run {
        None => {
            ("SELECT * FROM messages WHERE session = ? AND position > ? ORDER BY position LIMIT ?", session.as_str())
        }
        Some(run) => ("SELECT * FROM messages WHERE run = ? AND position > ? ORDER BY position LIMIT ?", run.as_str()),
    };
    let query = sqlx::query_as(sql).bind(id).bind(page.position()?.unwrap_or(0)).bind(page.rows());
    let rows: Vec<Positioned<Message>> = query.fetch_all(db).await?;
    Ok(page.cut(rows, |row| row.position.to_string()).map(|row| row.item))
}

/// Returns all messages of a run, oldest first.
pub async fn of_run(db: &mut Db, run: &RunId) -> Result<Vec<Message>> {
    let sql = "SELECT * FROM messages WHERE run = ? ORDER BY position";
    Ok(sqlx::query_as(sql).bind(run.as_str()).fetch_all(db).await?)
}

/// Returns the messages of a session from a position on, oldest first, with their positions.
pub async fn from(db: &mut Db, session: &SessionId, position: i64) -> Result<Vec<Message>> {
    let sql = "SELECT * FROM messages WHERE session = ? AND position >= ? ORDER BY position";
    Ok(sqlx::query_as(sql).bind(session.as_str()).bind(position).fetch_all(db).await?)
}

/// Returns the messages of a session up to the last one of a run, oldest first.
pub async fn up_to(db: &mut Db, session: &SessionId, run: &RunId) -> Result<Vec<Message>> {
    let sql = "SELECT * FROM messages WHERE session = ? AND position <=
               (SELECT MAX(position) FROM messages WHERE run = ?) ORDER BY position";
    Ok(sqlx::query_as(sql).bind(session.as_str()).bind(run.as_str()).fetch_all(db).await?)
}

/// Whether a message of a client with this text is in a session.
pub async fn is_quoted(db: &mut Db, session: &SessionId, content: &str) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM messages WHERE session = ? AND quoted AND content = ?)";
    Ok(sqlx::query_scalar(sql).bind(session.as_str()).bind(content).fetch_one(db).await?)
}

/// Whether a run has a user's message behind its task.
pub async fn any_behind_task(db: &mut Db, run: &RunId) -> Result<bool> {
    let sql = "SELECT COUNT(*) > 1 FROM messages WHERE run = ? AND role = 'user' AND NOT quoted";
    Ok(sqlx::query_scalar(sql).bind(run.as_str()).fetch_one(db).await?)
}

/// Returns the message with the task of a run, with its position, once the run has started.
pub async fn task(db: &mut Db, run: &RunId) -> Result<Option<(i64, Message)>> {
    let sql = "SELECT * FROM messages WHERE run = ? AND role = 'user' AND NOT quoted ORDER BY position LIMIT 1";
    let row: Option<Positioned<Message>> = sqlx::query_as(sql).bind(run.as_str()).fetch_optional(db).await?;
    Ok(row.map(|row| (row.position, row.item)))
}
