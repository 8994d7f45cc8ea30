//! Steps of runs. A step is written before its effect and closed after it.

use moxxy_types::{
    error::{Error, Result},
    ids::{ModelCallId, RunId, StepId},
    money::Dollars,
    runs::{Run, Step, StepKind, StepUsage},
};
use serde_json::Value;
use sqlx::FromRow;

use super::{
    Db, Tx, from_json, to_json,
    usage::{self, Change},
};

#[derive(FromRow)]
struct Row {
    id: String,
    kind: StepKind,
    status: String,
    name: String,
    input: Option<String>,
    output: Option<String>,
    model_call: Option<ModelCallId>,
    input_tokens: Option<i64>,
    cached_input_tokens: Option<i64>,
    cache_write_tokens: Option<i64>,
    output_tokens: Option<i64>,
    is_estimated: Option<bool>,
    cost: Option<i64>,
    reserved_tokens: Option<i64>,
    reserved_cost: Option<i64>,
    started_at: String,
    ended_at: Option<String>,
}

/// A query for steps with the usage of their model calls.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT s.*, m.input_tokens, m.cached_input_tokens, m.cache_write_tokens, m.output_tokens, m.is_estimated,
             m.cost, m.reserved_tokens, m.reserved_cost FROM steps s LEFT JOIN model_calls m ON m.id = s.model_call ",
            $rest
        )
    };
}

/// The result of a step.
#[derive(Debug)]
pub struct End {
    pub status: &'static str,
    pub output: Value,
}

/// Opens a step after the existing steps of its run. `call` is the model call that it makes.
pub async fn open(
    tx: &mut Tx,
    run: &Run,
    kind: StepKind,
    name: &str,
    input: &Value,
    call: Option<&ModelCallId>,
) -> Result<StepId> {
    let sql = "INSERT INTO steps (id, run, ordinal, kind, status, name, input, model_call, started_at)
               SELECT ?1, ?2, COALESCE(MAX(ordinal), 0) + 1, ?3, 'running', ?4, ?5, ?6, ?7 FROM steps WHERE run = ?2";
    let id = StepId::random();
    let now = tx.now();
    sqlx::query(sql)
        .bind(id.as_str())
        .bind(run.run_id.as_str())
        .bind(kind)
        .bind(name)
        .bind(to_json(input)?)
        .bind(call.map(ModelCallId::as_str))
        .bind(&now)
        .execute(&mut **tx)
        .await?;
    if kind == StepKind::Tool {
        usage::add(tx, run.agent, Some(&run.run_id), &now, Change { tool_calls: 1, ..Change::default() });
    }
    Ok(id)
}

/// Closes a step. Returns `false` if it is already closed.
pub async fn close(tx: &mut Tx, id: &StepId, end: End) -> Result<bool> {
    let sql = "UPDATE steps SET status = ?, output = ?, ended_at = ? WHERE id = ? AND ended_at IS NULL";
    let now = tx.now();
    let closed = sqlx::query(sql)
        .bind(end.status)
        .bind(to_json(&end.output)?)
        .bind(now)
        .bind(id.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(closed.rows_affected() == 1)
}

/// Whether a step exists and has not ended.
pub async fn is_open(db: &mut Db, id: &StepId) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM steps WHERE id = ? AND ended_at IS NULL)";
    Ok(sqlx::query_scalar(sql).bind(id.as_str()).fetch_one(db).await?)
}

/// Returns a run's steps, in the order in which they started.
pub async fn list(db: &mut Db, run: &RunId) -> Result<Vec<Step>> {
    let rows: Vec<Row> =
        sqlx::query_as(select!("WHERE s.run = ? ORDER BY s.ordinal")).bind(run.as_str()).fetch_all(db).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Returns a run's steps that have not ended.
pub async fn list_open(db: &mut Db, run: &RunId) -> Result<Vec<Step>> {
    let sql = select!("WHERE s.run = ? AND s.ended_at IS NULL ORDER BY s.ordinal");
    let rows: Vec<Row> = sqlx::query_as(sql).bind(run.as_str()).fetch_all(db).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Returns the output of a run's last model call.
pub async fn last_model_output(db: &mut Db, run: &RunId) -> Result<Option<Value>> {
    let sql = "SELECT output FROM steps WHERE run = ? AND kind = 'model' ORDER BY ordinal DESC LIMIT 1";
    let output: Option<Option<String>> = sqlx::query_scalar(sql).bind(run.as_str()).fetch_optional(db).await?;
    output.flatten().as_deref().map(from_json).transpose()
}

/// Returns a token count of a model call; 0 for a tool call.
fn count(tokens: Option<i64>) -> u64 {
    tokens.unwrap_or_default().unsigned_abs()
}

impl TryFrom<Row> for Step {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            step_id: StepId::from_db(row.id),
            kind: row.kind,
            status: row.status,
            name: row.name,
            input: row.input.as_deref().map(from_json).transpose()?,
            output: row.output.as_deref().map(from_json).transpose()?,
            model_call: row.model_call,
            usage: StepUsage {
                input_tokens: count(row.input_tokens),
                cached_input_tokens: count(row.cached_input_tokens),
                cache_write_tokens: count(row.cache_write_tokens),
                output_tokens: count(row.output_tokens),
                is_estimated: row.is_estimated.unwrap_or_default(),
                cost: row.cost.map(Dollars::from_db),
                reserved_tokens: count(row.reserved_tokens),
                reserved_cost: row.reserved_cost.map(Dollars::from_db).unwrap_or_default(),
            },
            started_at: row.started_at,
            ended_at: row.ended_at,
        })
    }
}

/// Whether a run has called a tool. A call that waits for an answer had no effect.
pub async fn any_tool_call(db: &mut Db, run: &RunId) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM steps WHERE run = ? AND kind = 'tool' AND status <> 'pending')";
    Ok(sqlx::query_scalar(sql).bind(run.as_str()).fetch_one(db).await?)
}
