//! Requests with an `Idempotency-Key`.

use moxxy_types::{
    error::Result,
    idempotency::{Claim, Earlier, Key},
    ids::RunId,
};
use sqlx::FromRow;

use super::{Db, Tx, from_json, to_json};

/// Retention time of a key, in seconds.
const RETENTION_SECONDS: i64 = 24 * 3600;

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
    sqlx::query("DELETE FROM idempotency WHERE created_at < ?").bind(oldest).execute(&mut **tx).await?;
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

/// Releases the key of a request that had no effect.
pub async fn release(tx: &mut Tx, key: &Key) -> Result<()> {
    let sql = "DELETE FROM idempotency WHERE caller = ? AND route = ? AND key = ?";
    sqlx::query(sql).bind(&key.caller).bind(&key.route).bind(&key.text).execute(&mut **tx).await?;
    Ok(())
}
