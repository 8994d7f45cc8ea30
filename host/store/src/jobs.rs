//! Jobs. A driver claims a job with a lease, so that several drivers can share the table. If the lease expires before
//! the job is done, another driver can claim it.

use moxxy_types::{
    error::{Error, Result},
    ids::JobId,
    jobs::{Filter, Job, NewJob, Status},
    paging::{Page, PageRequest},
};

use super::{Db, Positioned, Tx, to_json};

/// A query for jobs with the names of their agents.
macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT j.*, a.name AS agent_name FROM jobs j LEFT JOIN agents a ON a.key = j.agent ", $rest)
    };
}

/// Inserts a job, unless there is one with its key. Returns whether it did.
pub async fn insert(tx: &mut Tx, new: &NewJob) -> Result<bool> {
    let sql = "INSERT INTO jobs (id, kind, key, agent, origin, payload, status, due_at, created_by, created_at)
               VALUES (?, ?, ?, ?, ?, ?, 'due', ?, ?, ?) ON CONFLICT (key) DO NOTHING";
    let (id, now) = (JobId::random(), tx.now());
    let inserted = sqlx::query(sql)
        .bind(id.as_str())
        .bind(new.kind)
        .bind(&new.key)
        .bind(new.agent.map(|agent| agent.0))
        .bind(&new.origin)
        .bind(to_json(&new.payload)?)
        .bind(&new.due_at)
        .bind(&new.created_by)
        .bind(now)
        .execute(&mut **tx)
        .await?;
    tx.wake_jobs();
    Ok(inserted.rows_affected() == 1)
}

/// Makes a job that is due later due now, unless it is running.
pub async fn hasten(tx: &mut Tx, key: &str) -> Result<()> {
    let sql = "UPDATE jobs SET due_at = ?1 WHERE key = ?2 AND status = 'due' AND due_at > ?1";
    let now = tx.now();
    sqlx::query(sql).bind(now).bind(key).execute(&mut **tx).await?;
    tx.wake_jobs();
    Ok(())
}

/// Removes the jobs with these keys.
pub async fn remove(tx: &mut Tx, keys: &[String]) -> Result<()> {
    let sql = "DELETE FROM jobs WHERE key IN (SELECT value FROM json_each(?))";
    sqlx::query(sql).bind(to_json(&keys)?).execute(&mut **tx).await?;
    Ok(())
}

/// Claims up to `limit` due jobs of these kinds, the longest due first, but none of `running`. They are running until
/// `until`.
pub async fn claim(
    tx: &mut Tx,
    lease: &str,
    (kinds, running): (&[&str], &[JobId]),
    until: &str,
    limit: usize,
) -> Result<Vec<Job>> {
    let sql = "UPDATE jobs SET status = 'running', lease = ?, due_at = ?, attempts = attempts + 1
               WHERE position IN (SELECT position FROM jobs WHERE status <> 'dead' AND due_at <= ?
                   AND kind IN (SELECT value FROM json_each(?)) AND id NOT IN (SELECT value FROM json_each(?))
                   ORDER BY due_at LIMIT ?)
               RETURNING *, (SELECT name FROM agents WHERE key = jobs.agent) AS agent_name";
    let (now, limit) = (tx.now(), i64::try_from(limit).map_err(Error::internal)?);
    let claimed = sqlx::query_as(sql).bind(lease).bind(until).bind(now).bind(to_json(&kinds)?).bind(to_json(&running)?);
    let claimed = claimed.bind(limit);
    Ok(claimed.fetch_all(&mut **tx).await?)
}

/// Extends the leases of these running jobs.
pub async fn renew(tx: &mut Tx, lease: &str, running: &[JobId], until: &str) -> Result<()> {
    let sql = "UPDATE jobs SET due_at = ? WHERE lease = ? AND status = 'running'
               AND id IN (SELECT value FROM json_each(?))";
    sqlx::query(sql).bind(until).bind(lease).bind(to_json(&running)?).execute(&mut **tx).await?;
    Ok(())
}

/// Whether this attempt of a job is still running under this lease.
pub async fn is_held(db: &mut Db, id: &JobId, lease: &str, attempt: i64) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM jobs WHERE id = ? AND lease = ? AND attempts = ? AND status = 'running')";
    Ok(sqlx::query_scalar(sql).bind(id.as_str()).bind(lease).bind(attempt).fetch_one(db).await?)
}

/// Removes a job that is done or not wanted any more.
pub async fn delete(tx: &mut Tx, id: &JobId) -> Result<()> {
    sqlx::query("DELETE FROM jobs WHERE id = ?").bind(id.as_str()).execute(&mut **tx).await?;
    Ok(())
}

/// Schedules a job again after a success.
pub async fn repeat(tx: &mut Tx, id: &JobId, due_at: &str) -> Result<()> {
    let sql = "UPDATE jobs SET status = 'due', due_at = ?, lease = NULL, attempts = 0, last_error = NULL WHERE id = ?";
    sqlx::query(sql).bind(due_at).bind(id.as_str()).execute(&mut **tx).await?;
    tx.wake_jobs();
    Ok(())
}

/// Records a failed attempt. The job is due again at `retry_at`, or dead.
pub async fn fail(tx: &mut Tx, id: &JobId, error: &str, retry_at: Option<&str>) -> Result<()> {
    let sql = "UPDATE jobs SET status = ?, due_at = COALESCE(?, due_at), lease = NULL, last_error = ? WHERE id = ?";
    let status = if retry_at.is_some() { Status::Due } else { Status::Dead };
    sqlx::query(sql).bind(status).bind(retry_at).bind(error).bind(id.as_str()).execute(&mut **tx).await?;
    tx.wake_jobs();
    Ok(())
}

/// Gives running jobs back, as if they had not been claimed.
pub async fn release(tx: &mut Tx, lease: &str) -> Result<()> {
    let sql = "UPDATE jobs SET status = 'due', due_at = ?, lease = NULL, attempts = attempts - 1
               WHERE lease = ? AND status = 'running'";
    let now = tx.now();
    sqlx::query(sql).bind(now).bind(lease).execute(&mut **tx).await?;
    Ok(())
}

/// Returns when the next job of these kinds can be claimed.
pub async fn next_due(db: &mut Db, kinds: &[&str]) -> Result<Option<String>> {
    let sql = "SELECT due_at FROM jobs WHERE status <> 'dead' AND kind IN (SELECT value FROM json_each(?))
               ORDER BY due_at LIMIT 1";
    Ok(sqlx::query_scalar(sql).bind(to_json(&kinds)?).fetch_optional(db).await?)
}

pub async fn get(db: &mut Db, id: &JobId) -> Result<Job> {
    let row: Option<Job> = sqlx::query_as(select!("WHERE j.id = ?")).bind(id.as_str()).fetch_optional(db).await?;
    row.ok_or_else(|| Error::not_found("job", id))
}

/// Returns a page of jobs, oldest first.
pub async fn list(db: &mut Db, filter: &Filter, page: &PageRequest) -> Result<Page<Job>> {
    let sql = select!(
        "WHERE j.position > ?1 AND (?2 IS NULL OR j.agent = ?2) AND (?3 IS NULL OR j.status = ?3)
         AND (?4 IS NULL OR j.kind = ?4) ORDER BY j.position LIMIT ?5"
    );
    let rows: Vec<Positioned<Job>> = sqlx::query_as(sql)
        .bind(page.position()?.unwrap_or(0))
        .bind(filter.agent.map(|agent| agent.0))
        .bind(filter.status)
        .bind(&filter.kind)
        .bind(page.rows())
        .fetch_all(db)
        .await?;
    Ok(page.cut(rows, |row| row.position.to_string()).map(|row| row.item))
}

/// Makes a job due now, with all its attempts. Returns `false` if it is running.
pub async fn retry(tx: &mut Tx, id: &JobId) -> Result<bool> {
    let sql = "UPDATE jobs SET status = 'due', due_at = ?, attempts = 0 WHERE id = ? AND status <> 'running'";
    let now = tx.now();
    let retried = sqlx::query(sql).bind(now).bind(id.as_str()).execute(&mut **tx).await?;
    tx.wake_jobs();
    Ok(retried.rows_affected() == 1)
}
