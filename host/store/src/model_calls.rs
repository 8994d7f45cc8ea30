//! Model calls. A call is written before its request is sent, with a reservation of its maximum usage.

use moxxy_types::{
    agents::{AgentKey, Fallback},
    error::Result,
    ids::{ModelCallId, RunId},
    model_calls::{ModelCall, NewModelCall, Status},
    money::{Dollars, Price},
    runs::{Failure, StepUsage},
};
use sqlx::FromRow;

use super::{
    Db, Tx, to_json,
    usage::{self, Change},
};

/// Bytes per token in estimates.
const BYTES_PER_TOKEN: u64 = 4;

/// Result of a model call.
#[derive(Debug)]
pub struct End<'e> {
    pub status: Status,
    /// The actual usage; `None` if it is unknown, so that it is estimated.
    pub usage: Option<&'e StepUsage>,
    /// Size of the answer so far, for an estimate, in bytes.
    pub answer_bytes: u64,
    pub error: Option<&'e Failure>,
    /// The model that is called next instead.
    pub next: Option<&'e Fallback>,
}

#[derive(FromRow)]
struct Open {
    agent: AgentKey,
    run: Option<RunId>,
    started_at: String,
    bytes: Option<i64>,
    reserved_tokens: i64,
    reserved_cost: i64,
    #[sqlx(json(nullable))]
    price: Option<Price>,
}

/// Inserts a call and reserves its maximum usage.
pub async fn open(tx: &mut Tx, new: &NewModelCall) -> Result<ModelCallId> {
    let sql = "INSERT INTO model_calls (id, agent, run, provider, model, status, bytes, reserved_tokens, reserved_cost,
               price, started_at) VALUES (?, ?, ?, ?, ?, 'running', ?, ?, ?, ?, ?)";
    let (id, now, reserved) = (ModelCallId::random(), tx.now(), tokens(new.reserved_tokens));
    sqlx::query(sql)
        .bind(id.as_str())
        .bind(new.agent.0)
        .bind(new.run.as_ref().map(RunId::as_str))
        .bind(new.provider.as_str())
        .bind(&new.model)
        .bind(tokens(new.bytes))
        .bind(reserved)
        .bind(new.reserved_cost.to_stored())
        .bind(new.price.as_ref().map(to_json).transpose()?)
        .bind(&now)
        .execute(&mut **tx)
        .await?;
    let reserved = Change {
        model_calls: 1,
        reserved_tokens: reserved,
        reserved_cost: new.reserved_cost.to_stored(),
        ..Change::default()
    };
    usage::add(tx, new.agent, new.run.as_ref(), &now, reserved);
    Ok(id)
}

/// Ends a call. Replaces its reservation by its usage, which is estimated if it is unknown. Does nothing if the call has
/// ended.
pub async fn close(tx: &mut Tx, id: &ModelCallId, end: End<'_>) -> Result<()> {
    let sql = "SELECT * FROM model_calls WHERE id = ? AND ended_at IS NULL";
    let open: Option<Open> = sqlx::query_as(sql).bind(id.as_str()).fetch_optional(&mut **tx).await?;
    let Some(open) = open else { return Ok(()) };
    let request_bytes = open.bytes.unwrap_or_default().unsigned_abs();
    let used = end.usage.copied().unwrap_or_else(|| estimate(request_bytes, end.answer_bytes, open.price));
    let sql = "UPDATE model_calls SET status = ?, error = ?, next = ?, input_tokens = ?, cached_input_tokens = ?,
               cache_write_tokens = ?, output_tokens = ?, is_estimated = ?, cost = ?, reserved_tokens = ?, reserved_cost = ?, ended_at = ? WHERE id = ?";
    let now = tx.now();
    sqlx::query(sql)
        .bind(end.status)
        .bind(end.error.map(to_json).transpose()?)
        .bind(end.next.map(to_json).transpose()?)
        .bind(tokens(used.input_tokens))
        .bind(tokens(used.cached_input_tokens))
        .bind(tokens(used.cache_write_tokens))
        .bind(tokens(used.output_tokens))
        .bind(used.is_estimated)
        .bind(used.cost.map(Dollars::to_stored))
        .bind(tokens(used.reserved_tokens))
        .bind(used.reserved_cost.to_stored())
        .bind(now)
        .bind(id.as_str())
        .execute(&mut **tx)
        .await?;
    let change = Change {
        model_calls: if end.status == Status::Interrupted { -1 } else { 0 },
        tool_calls: 0,
        input_tokens: tokens(used.input_tokens),
        cached_input_tokens: tokens(used.cached_input_tokens),
        output_tokens: tokens(used.output_tokens),
        cost: used.cost.map_or(0, Dollars::to_stored),
        reserved_tokens: tokens(used.reserved_tokens) - open.reserved_tokens,
        reserved_cost: used.reserved_cost.to_stored() - open.reserved_cost,
    };
    usage::add(tx, open.agent, open.run.as_ref(), &open.started_at, change);
    Ok(())
}

/// Returns the calls of a run that decide on its next one, oldest first: all that failed, and those from the last
/// completed one on.
pub async fn recent(db: &mut Db, run: &RunId) -> Result<Vec<ModelCall>> {
    let sql = "SELECT * FROM model_calls WHERE run = ?1 AND status = 'failed'
               UNION ALL
               SELECT * FROM model_calls WHERE run = ?1 AND status <> 'failed' AND position >= COALESCE(
                   (SELECT position FROM model_calls WHERE run = ?1 AND status = 'completed'
                    ORDER BY position DESC LIMIT 1), 0)
               ORDER BY position";
    Ok(sqlx::query_as(sql).bind(run.as_str()).fetch_all(db).await?)
}

/// Returns the number of tokens that `bytes` bytes probably have.
pub fn likely_tokens(bytes: u64) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN)
}

/// Estimates the usage of a call from the sizes of its request and its answer, in bytes.
pub fn estimate(request_bytes: u64, answer_bytes: u64, price: Option<Price>) -> StepUsage {
    let (input_tokens, output_tokens) = (likely_tokens(request_bytes), likely_tokens(answer_bytes));
    let cost = price.map(|price| price.plain_cost(input_tokens, output_tokens));
    StepUsage { input_tokens, output_tokens, cost, is_estimated: true, ..StepUsage::default() }
}

/// Converts a count that a component reported to a database integer.
fn tokens(count: u64) -> i64 {
    // The cap is far beyond any model, and sums of many such calls do not overflow.
    i64::try_from(count).unwrap_or(i64::MAX).min(i64::MAX >> 16)
}
