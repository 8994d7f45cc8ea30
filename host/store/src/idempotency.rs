//! Requests with an `Idempotency-Key`.

use moxxy_types::{
    clock::Clock,
    error::{Error, Result},
    idempotency::{Claim, Earlier, Key},
    ids::RunId,
};
use sqlx::FromRow;

use super::{Db, Tx, from_json, to_json};

/// Retention time of a key, in days.
pub const RETENTION_DAYS: i64 = 1;
const RETENTION_SECONDS: i64 = RETENTION_DAYS * 24 * 3600;

#[derive(FromRow)]
struct Row {
    mac: Vec<u8>,
    run: Option<String>,
    status: Option<u16>,
    headers: Option<String>,
    body: Option<Vec<u8>>,
    made: Option<String>,
}

/// The recorded outcome of a request.
#[derive(Debug)]
pub enum Outcome<'a> {
    Run(&'a RunId),
    Made(&'a str),
    Answer { status: u16, headers: &'a [(String, String)], body: &'a [u8] },
}

/// Claims a key for its first request, or returns the outcome of the earlier request.
pub async fn claim(tx: &mut Tx, claim: &Claim) -> Result<Option<Earlier>> {
    let (now, oldest) = (tx.now(), tx.after(-RETENTION_SECONDS));
    let expired = "DELETE FROM idempotency WHERE caller = ? AND route = ? AND key = ? AND created_at < ?";
    let key = &claim.key;
    let expired = sqlx::query(expired).bind(&key.caller).bind(&key.route).bind(&key.text).bind(oldest);
    expired.execute(&mut **tx).await?;
    let earlier = find(tx, claim).await?;
    if earlier.is_none() {
        sqlx::query("INSERT INTO idempotency (caller, route, key, mac, created_at) VALUES (?, ?, ?, ?, ?)")
            .bind(&claim.key.caller)
            .bind(&claim.key.route)
            .bind(&claim.key.text)
            .bind(&claim.mac[..])
            .bind(now)
            .execute(&mut **tx)
            .await?;
    }
    Ok(earlier)
}

pub async fn find(db: &mut Db, claim: &Claim) -> Result<Option<Earlier>> {
    let sql = "SELECT mac, run, status, headers, body, made FROM idempotency
               WHERE caller = ? AND route = ? AND key = ?";
    let query = sqlx::query_as(sql).bind(&claim.key.caller).bind(&claim.key.route).bind(&claim.key.text);
    let row: Option<Row> = query.fetch_optional(db).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(match row {
        row if row.mac != claim.mac => Earlier::Different,
        Row { run: Some(run), .. } => Earlier::Run(RunId::from_db(run)),
        Row { made: Some(made), .. } => Earlier::Made(made),
        Row { status: None, .. } => Earlier::Unknown,
        Row { status: Some(status), headers, body, .. } => Earlier::Answered {
            status,
            headers: headers.as_deref().map(from_json).transpose()?.unwrap_or_default(),
            body: body.unwrap_or_default(),
        },
    }))
}

/// Records the outcome of a request.
pub async fn record_outcome(tx: &mut Tx, key: &Key, outcome: Outcome<'_>) -> Result<()> {
    let (mut run, mut made, mut answer) = (None, None, None);
    match outcome {
        Outcome::Run(id) => run = Some(id.as_str()),
        Outcome::Made(id) => made = Some(id),
        Outcome::Answer { status, headers, body } => answer = Some((status, to_json(&headers)?, body)),
    }
    let (status, headers, body) =
        answer.map(|(status, headers, body)| (Some(status), Some(headers), Some(body))).unwrap_or_default();
    let sql = "UPDATE idempotency SET run = ?, made = ?, status = ?, headers = ?, body = ?
               WHERE caller = ? AND route = ? AND key = ?";
    let query = sqlx::query(sql).bind(run).bind(made).bind(status).bind(headers).bind(body);
    query.bind(&key.caller).bind(&key.route).bind(&key.text).execute(&mut **tx).await?;
    Ok(())
}

/// Removes up to `max` keys after their time. Returns their number.
pub async fn prune(tx: &mut Tx, max: i64) -> Result<i64> {
    let sql = "DELETE FROM idempotency WHERE rowid IN (SELECT rowid FROM idempotency WHERE created_at < ? LIMIT ?)";
    let oldest = tx.after(-RETENTION_SECONDS);
    let pruned = sqlx::query(sql).bind(oldest).bind(max).execute(&mut **tx).await?;
    i64::try_from(pruned.rows_affected()).map_err(Error::internal)
}

/// Returns the number of keys after their time, counted up to `max`.
pub async fn removable(db: &mut Db, clock: &Clock, max: i64) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM (SELECT 1 FROM idempotency WHERE created_at < ? LIMIT ?)";
    Ok(sqlx::query_scalar(sql).bind(clock.after(-RETENTION_SECONDS)).bind(max).fetch_one(db).await?)
}

/// Returns the size of the stored response bodies, in bytes.
pub async fn stored_bytes(db: &mut Db) -> Result<i64> {
    let sql = "SELECT COALESCE(SUM(octet_length(body)), 0) FROM idempotency WHERE body IS NOT NULL";
    Ok(sqlx::query_scalar(sql).fetch_one(db).await?)
}

/// Removes up to `max` of the oldest stored responses. Their keys stay. Returns the number of bytes.
pub async fn forget_responses(tx: &mut Tx, max: i64) -> Result<i64> {
    let sql = "WITH oldest AS (SELECT rowid AS id, octet_length(body) AS bytes FROM idempotency
               WHERE body IS NOT NULL ORDER BY created_at LIMIT ?)
               SELECT COALESCE(SUM(bytes), 0), json_group_array(id) FROM oldest";
    let (bytes, ids): (i64, String) = sqlx::query_as(sql).bind(max).fetch_one(&mut **tx).await?;
    let sql = "UPDATE idempotency SET made = route, status = NULL, headers = NULL, body = NULL
               WHERE rowid IN (SELECT value FROM json_each(?))";
    sqlx::query(sql).bind(ids).execute(&mut **tx).await?;
    Ok(bytes)
}

/// Releases the key of a request that had no effect.
pub async fn release(tx: &mut Tx, key: &Key) -> Result<()> {
    let sql = "DELETE FROM idempotency WHERE caller = ? AND route = ? AND key = ?";
    sqlx::query(sql).bind(&key.caller).bind(&key.route).bind(&key.text).execute(&mut **tx).await?;
    Ok(())
}
