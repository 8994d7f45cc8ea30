//! What was asked for under an `Idempotency-Key`.

use sqlx::FromRow;

use super::{Db, Tx, from_json, to_json};
use crate::{
    domain::idempotency::{Claim, Earlier},
    error::Result,
    ids::RunId,
};

/// How long a key is remembered, in seconds.
const LIFE: i64 = 24 * 3600;
/// The status of a request that was being carried out when the server ended.
const INTERRUPTED: u16 = 0;

#[derive(FromRow)]
struct Row {
    mac: Vec<u8>,
    run: Option<String>,
    status: Option<u16>,
    headers: Option<String>,
    body: Option<Vec<u8>>,
    made: Option<String>,
}

/// Takes a key for its first request, or says what became of it.
pub async fn claim(tx: &mut Tx, claim: &Claim) -> Result<Option<Earlier>> {
    let (now, oldest) = (tx.now(), tx.after(-LIFE));
    sqlx::query("DELETE FROM idempotency WHERE created_at < ?").bind(oldest).execute(&mut **tx).await?;
    let earlier = find(tx, claim).await?;
    if earlier.is_none() {
        sqlx::query("INSERT INTO idempotency (caller, route, key, mac, created_at) VALUES (?, ?, ?, ?, ?)")
            .bind(&claim.caller)
            .bind(&claim.route)
            .bind(&claim.key)
            .bind(&claim.mac[..])
            .bind(now)
            .execute(&mut **tx)
            .await?;
    }
    Ok(earlier)
}

async fn find(db: &mut Db, claim: &Claim) -> Result<Option<Earlier>> {
    let sql = "SELECT mac, run, status, headers, body, made FROM idempotency
               WHERE caller = ? AND route = ? AND key = ?";
    let query = sqlx::query_as(sql).bind(&claim.caller).bind(&claim.route).bind(&claim.key);
    let row: Option<Row> = query.fetch_optional(db).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(match row {
        row if row.mac != claim.mac => Earlier::Different,
        Row { run: Some(run), .. } => Earlier::Run(RunId::stored(run)),
        Row { made: Some(made), .. } => Earlier::Made(made),
        Row { status: None, .. } => Earlier::Open { interrupted: false },
        Row { status: Some(INTERRUPTED), .. } => Earlier::Open { interrupted: true },
        Row { status: Some(status), headers, body, .. } => Earlier::Answered {
            status,
            headers: headers.as_deref().map(from_json).transpose()?.unwrap_or_default(),
            body: body.unwrap_or_default(),
        },
    }))
}

/// Notes the run that a request made.
pub async fn made_run(tx: &mut Tx, claim: &Claim, run: &RunId) -> Result<()> {
    let sql = "UPDATE idempotency SET run = ? WHERE caller = ? AND route = ? AND key = ?";
    let query = sqlx::query(sql).bind(run.as_str());
    query.bind(&claim.caller).bind(&claim.route).bind(&claim.key).execute(&mut **tx).await?;
    Ok(())
}

/// Notes that a request made something and showed a secret.
pub async fn made(tx: &mut Tx, claim: &Claim, id: &str) -> Result<()> {
    let sql = "UPDATE idempotency SET made = ? WHERE caller = ? AND route = ? AND key = ?";
    let query = sqlx::query(sql).bind(id);
    query.bind(&claim.caller).bind(&claim.route).bind(&claim.key).execute(&mut **tx).await?;
    Ok(())
}

pub async fn answer(tx: &mut Tx, claim: &Claim, status: u16, headers: &[(String, String)], body: &[u8]) -> Result<()> {
    let sql = "UPDATE idempotency SET status = ?, headers = ?, body = ? WHERE caller = ? AND route = ? AND key = ?";
    let query = sqlx::query(sql).bind(status).bind(to_json(&headers)?).bind(body);
    query.bind(&claim.caller).bind(&claim.route).bind(&claim.key).execute(&mut **tx).await?;
    Ok(())
}

/// Gives a key free whose request did nothing.
pub async fn release(tx: &mut Tx, claim: &Claim) -> Result<()> {
    let sql = "DELETE FROM idempotency WHERE caller = ? AND route = ? AND key = ?";
    sqlx::query(sql).bind(&claim.caller).bind(&claim.route).bind(&claim.key).execute(&mut **tx).await?;
    Ok(())
}

/// Marks what was being carried out when the server ended.
pub async fn interrupt_open(tx: &mut Tx) -> Result<()> {
    let sql = "UPDATE idempotency SET status = ? WHERE status IS NULL AND run IS NULL AND made IS NULL";
    sqlx::query(sql).bind(INTERRUPTED).execute(&mut **tx).await?;
    Ok(())
}
