//! Usage of runs, and of agents by day. It is counted when it arises, in the transaction that records its cause, so
//! that no query adds it up.

use std::ops::Add;

use moxxy_types::{
    agents::AgentKey,
    clock,
    error::{Error, Result},
    ids::RunId,
    money::Dollars,
    paging::{Page, PageRequest},
    runs::{DailyUsage, RunUsage},
};
use sqlx::FromRow;

use super::{Db, Tx};

/// Change of usage.
#[derive(Debug, Clone, Copy, Default, FromRow)]
pub(super) struct Change {
    pub model_calls: i64,
    pub tool_calls: i64,
    pub input_tokens: i64,
    pub cached_input_tokens: i64,
    pub output_tokens: i64,
    pub cost: i64,
    pub reserved_tokens: i64,
    pub reserved_cost: i64,
}

#[derive(FromRow)]
struct Day {
    day: String,
    #[sqlx(flatten)]
    usage: Change,
}

/// Usage that the open transaction has added, and that is written at its end, once for each run and day.
#[derive(Debug, Default)]
pub(super) struct PendingUsage {
    runs: Vec<(RunId, Change, i64)>,
    days: Vec<(AgentKey, String, Change)>,
}

/// Adds to the usage of an agent on the day of a timestamp, and to that of its run.
pub(super) fn add(tx: &mut Tx, agent: AgentKey, run: Option<&RunId>, timestamp: &str, change: Change) {
    let PendingUsage { days, .. } = &mut tx.pending_usage;
    let day = clock::day(timestamp);
    match days.iter_mut().find(|(known, on, _)| *known == agent && on == day) {
        Some((_, _, sum)) => *sum = *sum + change,
        None => days.push((agent, day.to_owned(), change)),
    }
    if let Some(run) = run {
        add_to_run(tx, run, change, 0);
    }
}

/// Adds to the usage of a run, and to the number of tool calls that its model requested.
pub(super) fn add_to_run(tx: &mut Tx, run: &RunId, change: Change, requested_tool_calls: i64) {
    let PendingUsage { runs, .. } = &mut tx.pending_usage;
    match runs.iter_mut().find(|(known, ..)| known == run) {
        Some((_, sum, requested)) => (*sum, *requested) = (*sum + change, *requested + requested_tool_calls),
        None => runs.push((run.clone(), change, requested_tool_calls)),
    }
}

/// Writes the usage that the transaction has added so far. To be called before usage is read in a transaction.
pub async fn flush(tx: &mut Tx) -> Result<()> {
    let of_run = "UPDATE runs SET model_calls = model_calls + ?, tool_calls = tool_calls + ?,
                  input_tokens = input_tokens + ?, cached_input_tokens = cached_input_tokens + ?,
                  output_tokens = output_tokens + ?, cost = cost + ?, reserved_tokens = reserved_tokens + ?,
                  reserved_cost = reserved_cost + ?, requested_tool_calls = requested_tool_calls + ? WHERE id = ?";
    let of_day = "INSERT INTO daily_usage (model_calls, tool_calls, input_tokens, cached_input_tokens, output_tokens,
                  cost, reserved_tokens, reserved_cost, agent, day) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                  ON CONFLICT (agent, day) DO UPDATE SET model_calls = model_calls + excluded.model_calls,
                  tool_calls = tool_calls + excluded.tool_calls, input_tokens = input_tokens + excluded.input_tokens,
                  cached_input_tokens = cached_input_tokens + excluded.cached_input_tokens,
                  output_tokens = output_tokens + excluded.output_tokens, cost = cost + excluded.cost,
                  reserved_tokens = reserved_tokens + excluded.reserved_tokens,
                  reserved_cost = reserved_cost + excluded.reserved_cost";
    let PendingUsage { runs, days } = std::mem::take(&mut tx.pending_usage);
    for (run, change, requested) in runs {
        change.bind(sqlx::query(of_run)).bind(requested).bind(run.as_str()).execute(&mut **tx).await?;
    }
    for (agent, day, change) in days {
        change.bind(sqlx::query(of_day)).bind(agent.0).bind(day).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Returns the usage of a run so far.
pub async fn of_run(db: &mut Db, run: &RunId) -> Result<RunUsage> {
    let sum: Option<Change> =
        sqlx::query_as("SELECT * FROM runs WHERE id = ?").bind(run.as_str()).fetch_optional(db).await?;
    sum.ok_or_else(|| Error::not_found("run", run))?.try_into()
}

/// Returns the usage of all runs of an agent on a day, such as 2026-11-27.
pub async fn on_day(db: &mut Db, agent: AgentKey, day: &str) -> Result<RunUsage> {
    let sql = "SELECT * FROM daily_usage WHERE agent = ? AND day = ?";
    let sum: Option<Change> = sqlx::query_as(sql).bind(agent.0).bind(day).fetch_optional(db).await?;
    sum.unwrap_or_default().try_into()
}

/// Returns an agent's usage for each day with activity, latest first.
pub async fn days(db: &mut Db, agent: AgentKey, page: &PageRequest) -> Result<Page<DailyUsage>> {
    let sql = "SELECT * FROM daily_usage WHERE agent = ? AND day < ? ORDER BY day DESC LIMIT ?";
    // Sorts after every four-digit year.
    let before = page.after.as_deref().unwrap_or("U");
    let rows: Vec<Day> = sqlx::query_as(sql).bind(agent.0).bind(before).bind(page.rows()).fetch_all(db).await?;
    page.cut(rows, |row| row.day.clone()).try_map(|row| Ok(DailyUsage { day: row.day, usage: row.usage.try_into()? }))
}

impl Add for Change {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            model_calls: self.model_calls + other.model_calls,
            tool_calls: self.tool_calls + other.tool_calls,
            input_tokens: self.input_tokens + other.input_tokens,
            cached_input_tokens: self.cached_input_tokens + other.cached_input_tokens,
            output_tokens: self.output_tokens + other.output_tokens,
            cost: self.cost + other.cost,
            reserved_tokens: self.reserved_tokens + other.reserved_tokens,
            reserved_cost: self.reserved_cost + other.reserved_cost,
        }
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

impl Change {
    fn bind<'q>(&self, query: Query<'q>) -> Query<'q> {
        let Self { model_calls, tool_calls, input_tokens, cached_input_tokens, output_tokens, .. } = *self;
        let query = query.bind(model_calls).bind(tool_calls).bind(input_tokens).bind(cached_input_tokens);
        query.bind(output_tokens).bind(self.cost).bind(self.reserved_tokens).bind(self.reserved_cost)
    }
}

impl TryFrom<Change> for RunUsage {
    type Error = Error;
    fn try_from(sum: Change) -> Result<Self> {
        Ok(Self {
            steps: u32::try_from(sum.model_calls).map_err(Error::internal)?,
            tool_calls: u32::try_from(sum.tool_calls).map_err(Error::internal)?,
            input_tokens: sum.input_tokens.unsigned_abs(),
            cached_input_tokens: sum.cached_input_tokens.unsigned_abs(),
            output_tokens: sum.output_tokens.unsigned_abs(),
            cost: Dollars::from_db(sum.cost),
            reserved_tokens: sum.reserved_tokens.unsigned_abs(),
            reserved_cost: Dollars::from_db(sum.reserved_cost),
        })
    }
}
