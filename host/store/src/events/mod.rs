//! Event log. An event is inserted in the same transaction as the change that it describes, and broadcast after
//! the commit.

mod broadcast;
mod subscription;

use futures_util::TryStreamExt as _;
use moxxy_types::{
    error::{Error, Result},
    events::{Envelope, Event, EventContext, Filter, LoggedEvent, envelope},
    ids::Name,
};
use serde_json::{json, value::RawValue};
use sqlx::{FromRow, QueryBuilder, Sqlite};

pub use broadcast::Events;
pub use subscription::Subscription;

use crate::{Db, Tx, to_json};

/// Payload size at which a page is full, in bytes.
const MAX_PAGE_BYTES: usize = 1024 * 1024;
/// Maximum number of ranges of an index that a query merges.
const MAX_RANGES: usize = 100;
/// Maximum number of events per statement.
const MAX_INSERTED_EVENTS: usize = 256;

/// Inserts events, in order. Each gets its position, and the next sequence number of its run.
pub(crate) async fn insert(db: &mut Db, events: &mut [LoggedEvent]) -> Result<()> {
    for of_run in events.chunk_by_mut(|one, other| one.envelope.run_id == other.envelope.run_id) {
        number(db, of_run).await?;
    }
    for events in events.chunks_mut(MAX_INSERTED_EVENTS) {
        let mut insert = QueryBuilder::new(
            "INSERT INTO events (event_id, timestamp, agent_id, run_id, sequence, event_type, payload) ",
        );
        insert.push_values(&*events, |mut row, LoggedEvent { envelope, .. }| {
            row.push_bind(&envelope.event_id).push_bind(&envelope.timestamp).push_bind(&envelope.agent_id);
            row.push_bind(&envelope.run_id).push_bind(envelope.sequence).push_bind(&envelope.event_type);
            row.push_bind(envelope.payload.get());
        });
        let mut positions: Vec<i64> =
            insert.push(" RETURNING position").build_query_scalar().fetch_all(&mut *db).await?;
        positions.sort_unstable();
        events.iter_mut().zip(positions).for_each(|(event, position)| event.position = Some(position));
    }
    Ok(())
}

/// Assigns the next sequence numbers of a run to its events.
async fn number(db: &mut Db, events: &mut [LoggedEvent]) -> Result<()> {
    let Some(run) = events.first().and_then(|event| event.envelope.run_id.clone()) else { return Ok(()) };
    let sql = "UPDATE runs SET last_sequence = last_sequence + ? WHERE id = ? AND EXISTS
               (SELECT 1 FROM agents WHERE key = runs.agent AND deleted_at IS NULL) RETURNING last_sequence";
    let count = i64::try_from(events.len()).map_err(Error::internal)?;
    let last: Option<i64> = sqlx::query_scalar(sql).bind(count).bind(&run).fetch_optional(db).await?;
    // A run that was deleted with its agent must not add events to a new agent of the same name.
    let last = last.ok_or_else(|| Error::not_found("run", run))?;
    events.iter_mut().zip(last - count + 1..).for_each(|(event, next)| event.envelope.sequence = Some(next));
    Ok(())
}

/// Returns the next events after a position that match the filter, oldest first. Returns at most `limit` events and
/// stops once the page is full.
pub async fn after(db: &mut Db, position: i64, filter: &Filter, limit: i64) -> Result<Vec<LoggedEvent>> {
    let types = filter.listed_types();
    let (column, values) = match (&*filter.runs, &*filter.agents, &*types) {
        ([], [], []) => ("", &types),
        ([], [], _) => ("event_type", &types),
        ([], _, _) => ("agent_id", &filter.agents),
        _ => ("run_id", &filter.runs),
    };
    let mut query = QueryBuilder::new("");
    let matching = |query: &mut QueryBuilder<Sqlite>, position: i64| {
        query.push("SELECT * FROM events WHERE position > ").push_bind(position);
        if !types.is_empty() && column != "event_type" {
            query.push(" AND event_type IN (SELECT value FROM json_each(").push_bind(json!(types)).push("))");
        }
    };
    if values.is_empty() {
        matching(&mut query, position);
    } else if values.len() > MAX_RANGES {
        matching(&mut query, position);
        query.push(" AND ").push(column).push(" IN (SELECT value FROM json_each(").push_bind(json!(values)).push("))");
        query.push(" AND position > COALESCE((SELECT MAX(removed_to) FROM agents WHERE former_name = agent_id), 0)");
    } else {
        // For each value a range of an index: with one condition on all of them, SQLite would sort all that match.
        for (index, value) in values.iter().enumerate() {
            query.push(if index > 0 { " UNION ALL SELECT * FROM (" } else { "SELECT * FROM (" });
            let begins = if column == "agent_id" { beginning(&mut *db, value).await? } else { 0 };
            matching(&mut query, position.max(begins));
            query.push(" AND ").push(column).push(" = ").push_bind(value);
            query.push(" ORDER BY position LIMIT ").push_bind(limit).push(")");
        }
    }
    query.push(" ORDER BY position LIMIT ").push_bind(limit);
    let mut rows = query.build_query_as::<Row>().fetch(db);
    let (mut events, mut bytes) = (Vec::new(), 0);
    while bytes < MAX_PAGE_BYTES
        && let Some(row) = rows.try_next().await?
    {
        bytes += row.payload.len();
        events.push(row.try_into()?);
    }
    Ok(events)
}

/// Returns the highest position ever assigned, or 0 before the first event.
pub async fn last_position(db: &mut Db) -> Result<i64> {
    let sql = "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)";
    Ok(sqlx::query_scalar(sql).fetch_one(db).await?)
}

/// Returns by how many events the log exceeds `most`; 0 or less if it does not.
pub async fn surplus(db: &mut Db, most: i64) -> Result<i64> {
    let pruned: i64 = sqlx::query_scalar("SELECT pruned FROM event_log").fetch_one(&mut *db).await?;
    // There are no more events than positions. To count them takes as long as there are many.
    let upper_bound = last_position(db).await? - pruned;
    if upper_bound <= most {
        return Ok(upper_bound - most);
    }
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM events").fetch_one(db).await?;
    Ok(count - most)
}

/// Returns the last pruned position if a reader at `position` may have missed events. For a selection of runs,
/// checks whether their events are complete.
pub async fn pruned_behind(db: &mut Db, position: i64, filter: &Filter) -> Result<Option<i64>> {
    let pruned: i64 = sqlx::query_scalar("SELECT pruned FROM event_log").fetch_one(&mut *db).await?;
    if pruned <= position || filter.runs.is_empty() {
        return Ok((pruned > position).then_some(pruned));
    }
    let sql = "SELECT EXISTS (SELECT 1 FROM json_each(?) AS run WHERE 1 IS NOT
                   (SELECT sequence FROM events WHERE run_id = run.value ORDER BY position LIMIT 1))";
    let incomplete: bool = sqlx::query_scalar(sql).bind(to_json(&filter.runs)?).fetch_one(db).await?;
    Ok(incomplete.then_some(pruned))
}

/// Adds the sizes of up to `max` more events to the size of the log. Returns whether more are left.
pub async fn measure(tx: &mut Tx, max: i64) -> Result<bool> {
    let sql = "SELECT COUNT(*), MAX(position), SUM(bytes) FROM
               (SELECT position, octet_length(payload) AS bytes FROM events
                WHERE position > (SELECT counted_to FROM event_log) ORDER BY position LIMIT ?)";
    let counted: (i64, Option<i64>, Option<i64>) = sqlx::query_as(sql).bind(max).fetch_one(&mut **tx).await?;
    let (count, Some(last), bytes) = counted else { return Ok(false) };
    let sql = "UPDATE event_log SET counted_to = ?, bytes = bytes + ?";
    sqlx::query(sql).bind(last).bind(bytes).execute(&mut **tx).await?;
    Ok(count == max)
}

/// Returns the size of the payloads in the log, as it was last measured, and whether events have been added since.
pub async fn size(db: &mut Db) -> Result<(i64, bool)> {
    let last = last_position(db).await?;
    let sql = "SELECT bytes, counted_to < ? FROM event_log";
    Ok(sqlx::query_as(sql).bind(last).fetch_one(db).await?)
}

/// What of the log is removed, oldest first.
#[derive(Debug, Clone)]
pub struct Surplus {
    /// Events before this time.
    pub before: Option<String>,
    /// Number of events, or less than 1.
    pub count: i64,
    /// Bytes of payloads, or less than 1.
    pub bytes: i64,
}

/// Returns the number of the oldest events, up to `max`, that are removed, their bytes, and the position of the last.
/// The first event that stays ends them.
pub async fn removable(db: &mut Db, surplus: &Surplus, max: i64) -> Result<(i64, i64, i64)> {
    let sql = "SELECT position, timestamp, octet_length(payload) FROM events ORDER BY position LIMIT ?";
    let oldest: Vec<(i64, String, i64)> = sqlx::query_as(sql).bind(max).fetch_all(db).await?;
    let (mut count, mut bytes, mut last) = (0, 0, 0);
    for (position, timestamp, size) in oldest {
        let is_old = surplus.before.as_ref().is_some_and(|before| timestamp < *before);
        if !(is_old || count < surplus.count || bytes < surplus.bytes) {
            break;
        }
        (count, bytes, last) = (count + 1, bytes + size, position);
    }
    Ok((count, bytes, last))
}

/// Removes up to `max` of the oldest events. Returns their number and bytes.
pub async fn prune(tx: &mut Tx, surplus: &Surplus, max: i64) -> Result<(i64, i64)> {
    let (count, bytes, last) = removable(tx, surplus, max).await?;
    if count > 0 {
        sqlx::query("DELETE FROM events WHERE position <= ?").bind(last).execute(&mut **tx).await?;
        sqlx::query("UPDATE event_log SET pruned = ?").bind(last).execute(&mut **tx).await?;
    }
    Ok((count, bytes))
}

/// Whether the agent exists, or the log has events of a former agent of that name.
pub async fn knows_agent(db: &mut Db, agent: &Name) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM agents WHERE name = ?1)
               OR EXISTS (SELECT 1 FROM events WHERE agent_id = ?1 AND position > ?2)";
    let beginning = beginning(db, agent.as_str()).await?;
    Ok(sqlx::query_scalar(sql).bind(agent.as_str()).bind(beginning).fetch_one(db).await?)
}

/// Returns the position after which the events of an agent begin: those before are of a deleted agent with its name.
async fn beginning(db: &mut Db, agent: &str) -> Result<i64> {
    let sql = "SELECT COALESCE(MAX(removed_to), 0) FROM agents WHERE former_name = ?";
    Ok(sqlx::query_scalar(sql).bind(agent).fetch_one(db).await?)
}

#[derive(FromRow)]
struct Row {
    position: i64,
    event_id: String,
    timestamp: String,
    agent_id: Option<String>,
    run_id: Option<String>,
    sequence: Option<i64>,
    event_type: String,
    payload: String,
}

impl TryFrom<Row> for LoggedEvent {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self> {
        let envelope = Envelope {
            event_id: row.event_id,
            timestamp: row.timestamp,
            agent_id: row.agent_id,
            run_id: row.run_id,
            sequence: row.sequence,
            event_type: row.event_type,
            payload: RawValue::from_string(row.payload).map_err(Error::internal)?.into(),
        };
        Ok(Self { position: Some(row.position), envelope })
    }
}

/// Records an event, to be inserted into the log at the end of the transaction of the change that it describes.
pub async fn record(tx: &mut Tx, subject: &EventContext, event: Event) -> Result<()> {
    let envelope = envelope(tx.now(), subject, &event)?;
    if let Some(payload) = event.audit_payload(&subject.actor)? {
        crate::audit::append(tx, &subject.actor, &envelope, payload).await?;
    }
    tx.record(LoggedEvent { position: None, envelope });
    Ok(())
}

/// Records several events, in order.
pub async fn record_all(tx: &mut Tx, subject: &EventContext, events: Vec<Event>) -> Result<()> {
    for event in events {
        record(tx, subject, event).await?;
    }
    Ok(())
}
