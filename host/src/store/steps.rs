//! The steps of runs: written before their effect, closed after it.

use serde_json::Value;
use sqlx::FromRow;

use super::{Db, Tx, from_json, to_json};
use crate::{
    domain::runs::{Spent, Step, StepKind},
    error::{Error, Result},
    ids::{RunId, StepId},
};

#[derive(FromRow)]
struct Row {
    id: String,
    kind: String,
    status: String,
    name: String,
    input: Option<String>,
    output: Option<String>,
    input_tokens: i64,
    output_tokens: i64,
    started_at: String,
    ended_at: Option<String>,
}

/// How a step ended.
#[derive(Debug)]
pub struct End {
    pub status: &'static str,
    pub output: Value,
    pub input_tokens: u64,
    pub output_tokens: u64,
}

/// Opens a step behind the others of its run.
pub async fn open(tx: &mut Tx, run: &RunId, kind: StepKind, name: &str, input: &Value) -> Result<StepId> {
    let sql = "INSERT INTO steps (id, run, ordinal, kind, status, name, input, started_at)
               SELECT ?1, ?2, COUNT(*) + 1, ?3, 'running', ?4, ?5, ?6 FROM steps WHERE run = ?2";
    let id = StepId::random();
    let now = tx.now();
    sqlx::query(sql)
        .bind(id.as_str())
        .bind(run.as_str())
        .bind(kind.as_str())
        .bind(name)
        .bind(to_json(input)?)
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(id)
}

pub async fn close(tx: &mut Tx, id: &StepId, end: End) -> Result<()> {
    let sql = "UPDATE steps SET status = ?, output = ?, input_tokens = ?, output_tokens = ?, ended_at = ?
               WHERE id = ? AND ended_at IS NULL";
    let now = tx.now();
    sqlx::query(sql)
        .bind(end.status)
        .bind(to_json(&end.output)?)
        .bind(tokens(end.input_tokens))
        .bind(tokens(end.output_tokens))
        .bind(now)
        .bind(id.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Whether a step is there and has not ended.
pub async fn is_open(db: &mut Db, id: &StepId) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM steps WHERE id = ? AND ended_at IS NULL)";
    Ok(sqlx::query_scalar(sql).bind(id.as_str()).fetch_one(db).await?)
}

/// In the order in which they began.
pub async fn list(db: &mut Db, run: &RunId) -> Result<Vec<Step>> {
    let rows: Vec<Row> =
        sqlx::query_as("SELECT * FROM steps WHERE run = ? ORDER BY ordinal").bind(run.as_str()).fetch_all(db).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// A run's model calls, in the order in which they began.
pub async fn model_calls(db: &mut Db, run: &RunId) -> Result<Vec<Step>> {
    let sql = "SELECT * FROM steps WHERE run = ? AND kind = 'model' ORDER BY ordinal";
    let rows: Vec<Row> = sqlx::query_as(sql).bind(run.as_str()).fetch_all(db).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// What a run has used so far.
pub async fn spent(db: &mut Db, run: &RunId) -> Result<Spent> {
    let sql = "SELECT COUNT(*) FILTER (WHERE kind = 'model' AND status <> 'interrupted'),
               COALESCE(SUM(input_tokens), 0), COALESCE(SUM(output_tokens), 0) FROM steps WHERE run = ?";
    let (steps, input, output): (i64, i64, i64) = sqlx::query_as(sql).bind(run.as_str()).fetch_one(db).await?;
    Ok(Spent {
        steps: u32::try_from(steps).map_err(Error::internal)?,
        input_tokens: input.unsigned_abs(),
        output_tokens: output.unsigned_abs(),
    })
}

/// A count that a component reported, as the database can keep it.
fn tokens(count: u64) -> i64 {
    // Far beyond any model, and many such steps still add up.
    i64::try_from(count).unwrap_or(i64::MAX).min(i64::MAX >> 16)
}

impl TryFrom<Row> for Step {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            step_id: StepId::stored(row.id),
            kind: StepKind::named(&row.kind).ok_or_else(|| Error::internal("an unknown kind of step"))?,
            status: row.status,
            name: row.name,
            input: row.input.as_deref().map(from_json).transpose()?,
            output: row.output.as_deref().map(from_json).transpose()?,
            input_tokens: row.input_tokens.unsigned_abs(),
            output_tokens: row.output_tokens.unsigned_abs(),
            started_at: row.started_at,
            ended_at: row.ended_at,
        })
    }
}
