//! Steps of runs. A step is written before its effect and closed after it.

use moxxy_types::{
    agents::AgentKey,
    error::{Error, Result},
    ids::{RunId, StepId},
    money::Dollars,
    paging::{Page, PageRequest},
    runs::{DailyUsage, RunUsage, Step, StepKind, StepUsage},
};
use serde_json::Value;
use sqlx::FromRow;

use super::{Db, Tx, from_json, to_json};

#[derive(FromRow)]
struct Row {
    id: String,
    kind: StepKind,
    status: String,
    name: String,
    input: Option<String>,
    output: Option<String>,
    input_tokens: i64,
    cached_input_tokens: i64,
    output_tokens: i64,
    cost: Option<i64>,
    reserved_tokens: i64,
    reserved_cost: i64,
    started_at: String,
    ended_at: Option<String>,
}

/// Sums over several steps.
#[derive(FromRow)]
struct Sums {
    day: String,
    steps: i64,
    tool_calls: i64,
    input_tokens: i64,
    cached_input_tokens: i64,
    output_tokens: i64,
    cost: i64,
    reserved_tokens: i64,
    reserved_cost: i64,
}

/// A query for sums over steps, with the day of the first step.
macro_rules! sums {
    ($rest:literal) => {
        concat!(
            "SELECT COALESCE(MIN(substr(started_at, 1, 10)), '') AS day,
             COUNT(*) FILTER (WHERE kind = 'model' AND status <> 'interrupted') AS steps,
             COUNT(*) FILTER (WHERE kind = 'tool') AS tool_calls,
             COALESCE(SUM(input_tokens), 0) AS input_tokens,
             COALESCE(SUM(cached_input_tokens), 0) AS cached_input_tokens,
             COALESCE(SUM(output_tokens), 0) AS output_tokens,
             COALESCE(SUM(cost), 0) AS cost,
             COALESCE(SUM(reserved_tokens), 0) AS reserved_tokens,
             COALESCE(SUM(reserved_cost), 0) AS reserved_cost
             FROM steps ",
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

/// Opens a step after the existing steps of its run.
pub async fn open(tx: &mut Tx, run: &RunId, kind: StepKind, name: &str, input: &Value) -> Result<StepId> {
    let sql = "INSERT INTO steps (id, run, agent, ordinal, kind, status, name, input, started_at)
               SELECT ?1, ?2, (SELECT agent FROM runs WHERE id = ?2), COUNT(*) + 1, ?3, 'running', ?4, ?5, ?6
               FROM steps WHERE run = ?2";
    let id = StepId::random();
    let now = tx.now();
    sqlx::query(sql)
        .bind(id.as_str())
        .bind(run.as_str())
        .bind(kind)
        .bind(name)
        .bind(to_json(input)?)
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(id)
}

/// Reserves the maximum usage of an open step. The reservation remains until it is settled, even after the step
/// is closed.
pub async fn reserve(tx: &mut Tx, id: &StepId, tokens: u64, cost: Dollars) -> Result<()> {
    let sql = "UPDATE steps SET reserved_tokens = ?, reserved_cost = ? WHERE id = ? AND ended_at IS NULL";
    sqlx::query(sql).bind(self::tokens(tokens)).bind(cost.to_stored()).bind(id.as_str()).execute(&mut **tx).await?;
    Ok(())
}

/// Replaces a step's reservation with its actual usage. Unknown parts stay reserved.
pub async fn settle(tx: &mut Tx, id: &StepId, used: &StepUsage) -> Result<()> {
    let sql = "UPDATE steps SET input_tokens = ?, cached_input_tokens = ?, output_tokens = ?, cost = ?,
               reserved_tokens = ?, reserved_cost = ? WHERE id = ? AND ended_at IS NULL";
    sqlx::query(sql)
        .bind(tokens(used.input_tokens))
        .bind(tokens(used.cached_input_tokens))
        .bind(tokens(used.output_tokens))
        .bind(used.cost.map(Dollars::to_stored))
        .bind(tokens(used.reserved_tokens))
        .bind(used.reserved_cost.to_stored())
        .bind(id.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(())
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
        sqlx::query_as("SELECT * FROM steps WHERE run = ? ORDER BY ordinal").bind(run.as_str()).fetch_all(db).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Returns a run's model calls, in the order in which they started.
pub async fn model_calls(db: &mut Db, run: &RunId) -> Result<Vec<Step>> {
    let sql = "SELECT * FROM steps WHERE run = ? AND kind = 'model' ORDER BY ordinal";
    let rows: Vec<Row> = sqlx::query_as(sql).bind(run.as_str()).fetch_all(db).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Returns the usage of a run so far.
pub async fn usage_of_run(db: &mut Db, run: &RunId) -> Result<RunUsage> {
    let sums: Sums = sqlx::query_as(sums!("WHERE run = ?")).bind(run.as_str()).fetch_one(db).await?;
    sums.try_into()
}

/// Returns the usage of all runs of an agent on a day, such as 2026-11-27.
pub async fn usage_on_day(db: &mut Db, agent: AgentKey, day: &str) -> Result<RunUsage> {
    // A timestamp is the day, `T` and the time. It sorts before the day followed by `U`.
    let sql = sums!("WHERE agent = ?1 AND started_at >= ?2 AND started_at < ?2 || 'U'");
    let sums: Sums = sqlx::query_as(sql).bind(agent.0).bind(day).fetch_one(db).await?;
    sums.try_into()
}

/// Returns an agent's usage for each day with activity, latest first.
pub async fn days(db: &mut Db, agent: AgentKey, page: &PageRequest) -> Result<Page<DailyUsage>> {
    let sql = sums!("WHERE agent = ?1 AND started_at < ?2 GROUP BY substr(started_at, 1, 10) ORDER BY 1 DESC LIMIT ?3");
    // Sorts after every four-digit year.
    let before = page.after.as_deref().unwrap_or("U");
    let rows: Vec<Sums> = sqlx::query_as(sql).bind(agent.0).bind(before).bind(page.rows()).fetch_all(db).await?;
    page.cut(rows, |row| row.day.clone()).try_map(|row| Ok(DailyUsage { day: row.day.clone(), usage: row.try_into()? }))
}

/// Converts a token count that a component reported to a database integer.
fn tokens(count: u64) -> i64 {
    // The cap is far beyond any model, and sums of many such steps do not overflow.
    i64::try_from(count).unwrap_or(i64::MAX).min(i64::MAX >> 16)
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
            usage: StepUsage {
                input_tokens: row.input_tokens.unsigned_abs(),
                cached_input_tokens: row.cached_input_tokens.unsigned_abs(),
                output_tokens: row.output_tokens.unsigned_abs(),
                cost: row.cost.map(Dollars::from_db),
                reserved_tokens: row.reserved_tokens.unsigned_abs(),
                reserved_cost: Dollars::from_db(row.reserved_cost),
            },
            started_at: row.started_at,
            ended_at: row.ended_at,
        })
    }
}

impl TryFrom<Sums> for RunUsage {
    type Error = Error;
    fn try_from(sums: Sums) -> Result<Self> {
        Ok(Self {
            steps: u32::try_from(sums.steps).map_err(Error::internal)?,
            tool_calls: u32::try_from(sums.tool_calls).map_err(Error::internal)?,
            input_tokens: sums.input_tokens.unsigned_abs(),
            cached_input_tokens: sums.cached_input_tokens.unsigned_abs(),
            output_tokens: sums.output_tokens.unsigned_abs(),
            cost: Dollars::from_db(sums.cost),
            reserved_tokens: sums.reserved_tokens.unsigned_abs(),
            reserved_cost: Dollars::from_db(sums.reserved_cost),
        })
    }
}
