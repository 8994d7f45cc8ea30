//! Runs.

use moxxy_types::{
    agents::AgentKey,
    error::{Error, Result},
    ids::{RunId, SessionId},
    paging::{Page, PageRequest},
    runs::{Failure, Filter, QueuedRun, Run, Status, Stop},
};
use sqlx::QueryBuilder;

use super::{Db, Positioned, Tx, to_json};

/// A query for runs with their agents' names. The output of a completed run with a schema is JSON.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT r.*, a.name AS agent_name, CASE WHEN r.status = 'completed'
                 AND r.options ->> '$.output_schema' IS NOT NULL THEN r.output END AS output_json
             FROM runs r JOIN agents a ON a.key = r.agent AND a.deleted_at IS NULL ",
            $rest
        )
    };
}

pub async fn insert(tx: &mut Tx, run: &QueuedRun<'_>) -> Result<()> {
    let sql = "INSERT INTO runs (id, agent, session, status, task, started_by, unattended, origin, options, created_at)
               VALUES (?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?)";
    let now = tx.now();
    sqlx::query(sql)
        .bind(run.id.as_str())
        .bind(run.agent.0)
        .bind(run.session.as_str())
        .bind(run.task)
        .bind(run.started_by)
        .bind(run.unattended)
        .bind(run.origin)
        .bind(to_json(run.options)?)
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Moves a queued run to `running`. Returns `false` if it is no longer queued.
pub async fn start(tx: &mut Tx, id: &RunId) -> Result<bool> {
    let sql = "UPDATE runs SET status = 'running', started_at = ? WHERE id = ? AND status = 'queued'";
    let now = tx.now();
    let started = sqlx::query(sql).bind(now).bind(id.as_str()).execute(&mut **tx).await?;
    Ok(started.rows_affected() == 1)
}

/// Moves a running run to `waiting` until a person answers. Returns `false` if it is not running or is to stop.
pub async fn pause(tx: &mut Tx, id: &RunId) -> Result<bool> {
    let sql = "UPDATE runs SET status = 'waiting', waiting_since = ? WHERE id = ? AND status = 'running'
               AND stop IS NULL";
    let now = tx.now();
    Ok(sqlx::query(sql).bind(now).bind(id.as_str()).execute(&mut **tx).await?.rows_affected() == 1)
}

/// Moves a waiting run back to `running`. The waiting time does not count towards its time limit.
pub async fn resume(tx: &mut Tx, id: &RunId) -> Result<()> {
    let sql = "UPDATE runs SET status = 'running', waiting_since = NULL, waited_ms = waited_ms
               + MAX(0, CAST(ROUND((julianday(?) - julianday(waiting_since)) * 86400000) AS INTEGER))
               WHERE id = ? AND status = 'waiting'";
    let now = tx.now();
    sqlx::query(sql).bind(now).bind(id.as_str()).execute(&mut **tx).await?;
    Ok(())
}

/// Excludes the downtime of the server from a run's time limit: the time since its last step.
pub async fn extend_time_limit(tx: &mut Tx, id: &RunId) -> Result<()> {
    let sql = "UPDATE runs SET waited_ms = waited_ms + MAX(0, CAST(ROUND((julianday(?1) - julianday(COALESCE(
               (SELECT MAX(COALESCE(ended_at, started_at)) FROM steps WHERE run = ?2), started_at))) * 86400000)
               AS INTEGER)) WHERE id = ?2 AND status = 'running' AND started_at IS NOT NULL";
    let now = tx.now();
    sqlx::query(sql).bind(now).bind(id.as_str()).execute(&mut **tx).await?;
    Ok(())
}

/// Records that a run is to stop, which survives a crash. An immediate stop is never downgraded.
pub async fn ask_to_stop(tx: &mut Tx, id: &RunId, stop: Stop) -> Result<()> {
    let sql = "UPDATE runs SET stop = CASE stop WHEN 'now' THEN stop ELSE ? END WHERE id = ? AND ended_at IS NULL";
    sqlx::query(sql).bind(stop).bind(id.as_str()).execute(&mut **tx).await?;
    Ok(())
}

/// Records that the output of a run ends at the limit of output tokens.
pub async fn set_output_truncated(tx: &mut Tx, id: &RunId) -> Result<()> {
    sqlx::query("UPDATE runs SET output_truncated = 1 WHERE id = ?").bind(id.as_str()).execute(&mut **tx).await?;
    Ok(())
}

/// Ends a run. Returns `false` if it has already ended or was deleted with its agent.
pub async fn end(
    tx: &mut Tx,
    id: &RunId,
    status: Status,
    output: Option<&str>,
    error: Option<&Failure>,
) -> Result<bool> {
    let sql =
        "UPDATE runs SET status = ?1, output = ?2, error = ?3, ended_at = ?4, bytes = COALESCE(octet_length(?2), 0)
               + (SELECT COALESCE(SUM(octet_length(content) + COALESCE(octet_length(tool_calls), 0)), 0)
                  FROM messages WHERE run = ?5)
               + (SELECT COALESCE(SUM(COALESCE(octet_length(input), 0) + COALESCE(octet_length(output), 0)), 0)
                  FROM steps WHERE run = ?5)
               WHERE id = ?5 AND ended_at IS NULL";
    let now = tx.now();
    let ended = sqlx::query(sql)
        .bind(status)
        .bind(output)
        .bind(error.map(to_json).transpose()?)
        .bind(now)
        .bind(id.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(ended.rows_affected() == 1)
}

pub async fn get(db: &mut Db, id: &RunId) -> Result<Run> {
    let row: Option<Run> = sqlx::query_as(select!("WHERE r.id = ?")).bind(id.as_str()).fetch_optional(db).await?;
    row.ok_or_else(|| Error::not_found("run", id))
}

/// Returns a page of runs, newest first.
pub async fn list(db: &mut Db, filter: &Filter, page: &PageRequest) -> Result<Page<Run>> {
    let mut sql = QueryBuilder::new(select!("WHERE r.position < "));
    sql.push_bind(page.position()?.unwrap_or(i64::MAX));
    if let Some(agent) = filter.agent {
        sql.push(" AND r.agent = ").push_bind(agent.0);
    }
    if let Some(status) = filter.status {
        sql.push(" AND r.status = ").push_bind(status);
    }
    if let Some(origin) = filter.origin {
        sql.push(" AND r.origin = ").push_bind(origin);
    }
    sql.push(" ORDER BY r.position DESC LIMIT ").push_bind(page.rows());
    let rows: Vec<Positioned<Run>> = sql.build_query_as().fetch_all(db).await?;
    Ok(page.cut(rows, |row| row.position.to_string()).map(|row| row.item))
}

/// Returns up to `limit` runs of a session, oldest first.
pub async fn of_session(db: &mut Db, session: &SessionId, limit: i64) -> Result<Vec<RunId>> {
    let sql = "SELECT id FROM runs WHERE session = ? ORDER BY position LIMIT ?";
    Ok(sqlx::query_scalar(sql).bind(session.as_str()).bind(limit).fetch_all(db).await?)
}

/// Whether a session has a run that has not ended.
pub async fn any_open_in(db: &mut Db, session: &SessionId) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM runs WHERE session = ? AND ended_at IS NULL)";
    Ok(sqlx::query_scalar(sql).bind(session.as_str()).fetch_one(db).await?)
}

/// Returns an agent's runs that have not ended, newest first.
pub async fn open_of(db: &mut Db, agent: AgentKey) -> Result<Vec<Run>> {
    let sql = select!("WHERE r.agent = ? AND r.ended_at IS NULL ORDER BY r.position DESC");
    Ok(sqlx::query_as(sql).bind(agent.0).fetch_all(db).await?)
}

/// Returns every run that has not ended, oldest first.
pub async fn open(db: &mut Db) -> Result<Vec<Run>> {
    let sql = select!("WHERE r.ended_at IS NULL ORDER BY r.position");
    Ok(sqlx::query_as(sql).fetch_all(db).await?)
}

/// Returns the oldest run of a session that has not ended, or `None` if it waits for a person.
pub async fn next_in(db: &mut Db, session: &SessionId) -> Result<Option<RunId>> {
    let sql = "SELECT id, status FROM runs r WHERE session = ? AND ended_at IS NULL AND EXISTS
               (SELECT 1 FROM agents WHERE key = r.agent AND deleted_at IS NULL) ORDER BY position LIMIT 1";
    let next: Option<(RunId, Status)> = sqlx::query_as(sql).bind(session.as_str()).fetch_optional(db).await?;
    Ok(next.filter(|(_, status)| *status != Status::Waiting).map(|(id, _)| id))
}

/// Returns the number of queued runs of a session.
pub async fn queued_in(db: &mut Db, session: &SessionId) -> Result<u64> {
    let sql = "SELECT COUNT(*) FROM runs WHERE session = ? AND ended_at IS NULL AND status = 'queued'";
    let count: i64 = sqlx::query_scalar(sql).bind(session.as_str()).fetch_one(db).await?;
    Ok(count.unsigned_abs())
}

/// Ends the runs of an agent that is deleted, without events, which go with it.
pub(super) async fn cancel_all(tx: &mut Tx, agent: AgentKey) -> Result<()> {
    let sql = "UPDATE runs SET status = 'cancelled', ended_at = ? WHERE agent = ? AND ended_at IS NULL";
    let now = tx.now();
    sqlx::query(sql).bind(now).bind(agent.0).execute(&mut **tx).await?;
    Ok(())
}

/// Returns the oldest run of an agent, deleted or not.
pub async fn first_of(db: &mut Db, agent: AgentKey) -> Result<Option<RunId>> {
    let sql = "SELECT id FROM runs WHERE agent = ? ORDER BY position LIMIT 1";
    Ok(sqlx::query_scalar(sql).bind(agent.0).fetch_optional(db).await?)
}

/// Removes up to about `max` rows of a run, with its messages, steps and events, and at last the run. Returns the number of removed rows.
pub async fn remove_rows(tx: &mut Tx, id: &RunId, max: u64) -> Result<u64> {
    let mut removed = 0;
    for sql in [
        "DELETE FROM messages WHERE position IN (SELECT position FROM messages WHERE run = ? LIMIT ?)",
        "DELETE FROM steps WHERE id IN (SELECT id FROM steps WHERE run = ? LIMIT ?)",
        "DELETE FROM model_calls WHERE position IN (SELECT position FROM model_calls WHERE run = ? LIMIT ?)",
        "DELETE FROM events WHERE position IN (SELECT position FROM events WHERE run_id = ? LIMIT ?)",
        "DELETE FROM runs WHERE position IN (SELECT position FROM runs WHERE id = ? LIMIT ?)",
    ] {
        let left = i64::try_from(max.saturating_sub(removed)).map_err(Error::internal)?;
        removed += sqlx::query(sql).bind(id.as_str()).bind(left).execute(&mut **tx).await?.rows_affected();
        if removed >= max {
            break;
        }
    }
    Ok(removed)
}
