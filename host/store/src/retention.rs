//! The clock of retention, and the oldest runs that have ended.

use moxxy_types::{
    error::Result,
    ids::{Name, RunId, SessionId},
};
use sqlx::{AssertSqlSafe, FromRow};

use super::{Db, Tx};

/// Mode of databases that this version created or restored.
const INCREMENTAL: i64 = 2;

/// A run that has ended.
#[derive(Debug, Clone, FromRow)]
pub struct EndedRun {
    pub id: RunId,
    pub session: SessionId,
    pub agent_name: Name,
    /// When it ended.
    pub ended_at: String,
    /// Size of its messages, steps and output.
    pub bytes: i64,
}

/// Returns the present as retention took it last, and the time of the clock then.
pub async fn present(db: &mut Db) -> Result<Option<(String, String)>> {
    Ok(sqlx::query_as("SELECT present, checked_at FROM retention_clock").fetch_optional(db).await?)
}

pub async fn set_present(tx: &mut Tx, present: &str) -> Result<()> {
    let sql = "INSERT INTO retention_clock (only, present, checked_at) VALUES (1, ?1, ?2)
               ON CONFLICT DO UPDATE SET present = ?1, checked_at = ?2";
    let now = tx.now();
    sqlx::query(sql).bind(present).bind(now).execute(&mut **tx).await?;
    Ok(())
}

/// Returns up to `max` runs that ended before a time, the oldest first: those that clients of OpenAI's API started, or the others. Leaves
/// out those in which a decision was made that still holds for other runs.
pub async fn ended_runs(db: &mut Db, of_chats: bool, before: &str, max: i64) -> Result<Vec<EndedRun>> {
    let sql = "SELECT r.id, r.session, a.name AS agent_name, r.ended_at, r.bytes FROM runs r
               JOIN agents a ON a.key = r.agent AND a.deleted_at IS NULL
               WHERE (r.origin IN ('chat_completions', 'responses')) = ? AND r.ended_at < ? AND NOT EXISTS
               (SELECT 1 FROM questions q JOIN sessions s ON s.id = q.session WHERE q.run = r.id AND q.status = 'answered'
                AND (q.scope = 'always' OR q.scope = 'session' AND s.closed_at IS NULL))
               ORDER BY r.ended_at LIMIT ?";
    Ok(sqlx::query_as(sql).bind(of_chats).bind(before).bind(max).fetch_all(db).await?)
}

/// Returns the size of the runs that have ended: those that clients of OpenAI's API started, or the others.
pub async fn size_of_ended_runs(db: &mut Db, of_chats: bool) -> Result<i64> {
    let sql = "SELECT COALESCE(SUM(bytes), 0) FROM runs WHERE (origin IN ('chat_completions', 'responses')) = ? AND ended_at > ''";
    Ok(sqlx::query_scalar(sql).bind(of_chats).fetch_one(db).await?)
}

/// Returns up to `max` free pages to the file system. Returns whether more are left.
pub async fn release_pages(tx: &mut Tx, max: u32) -> Result<bool> {
    // One row for each page.
    sqlx::query(AssertSqlSafe(format!("PRAGMA incremental_vacuum({max})"))).fetch_all(&mut **tx).await?;
    let free: i64 = sqlx::query_scalar("PRAGMA freelist_count").fetch_one(&mut **tx).await?;
    let mode: i64 = sqlx::query_scalar("PRAGMA auto_vacuum").fetch_one(&mut **tx).await?;
    Ok(free > 0 && mode == INCREMENTAL)
}
