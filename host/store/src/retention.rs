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
    pub position: i64,
    pub id: RunId,
    pub session: SessionId,
    pub agent_name: Name,
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

/// Returns up to `max` runs after `position` that ended before a time, in order: those of chat completions, or the
/// others.
pub async fn ended_runs(db: &mut Db, of_chats: bool, before: &str, position: i64, max: i64) -> Result<Vec<EndedRun>> {
    let sql = match of_chats {
        true => {
            "SELECT r.position, r.id, r.session, a.name AS agent_name FROM runs r
             JOIN agents a ON a.key = r.agent AND a.deleted_at IS NULL
             WHERE r.origin = 'chat_completions' AND r.ended_at < ? AND r.position > ?
             ORDER BY r.position LIMIT ?"
        }
        false => {
            "SELECT r.position, r.id, r.session, a.name AS agent_name FROM runs r
             JOIN agents a ON a.key = r.agent AND a.deleted_at IS NULL
             WHERE r.origin <> 'chat_completions' AND r.ended_at < ? AND r.position > ?
             ORDER BY r.position LIMIT ?"
        }
    };
    Ok(sqlx::query_as(sql).bind(before).bind(position).bind(max).fetch_all(db).await?)
}

/// Returns up to `max` free pages to the file system. Returns whether more are left.
pub async fn release_pages(tx: &mut Tx, max: u32) -> Result<bool> {
    // One row for each page.
    sqlx::query(AssertSqlSafe(format!("PRAGMA incremental_vacuum({max})"))).fetch_all(&mut **tx).await?;
    let free: i64 = sqlx::query_scalar("PRAGMA freelist_count").fetch_one(&mut **tx).await?;
    let mode: i64 = sqlx::query_scalar("PRAGMA auto_vacuum").fetch_one(&mut **tx).await?;
    Ok(free > 0 && mode == INCREMENTAL)
}
