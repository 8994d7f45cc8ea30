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
use serde_json::value::RawValue;
use sqlx::FromRow;

pub use broadcast::Events;
pub use subscription::Subscription;

use crate::{Db, Tx, to_json};

/// Payload size at which a page is full, in bytes.
const MAX_PAGE_BYTES: usize = 1024 * 1024;

/// Appends an event and queues it for the broadcast. The event gets the next sequence number of its run.
pub async fn append(tx: &mut Tx, mut envelope: Envelope) -> Result<()> {
    if let Some(run) = &envelope.run_id {
        let next = "UPDATE runs SET last_sequence = last_sequence + 1 WHERE id = ? RETURNING last_sequence";
        let sequence: Option<i64> = sqlx::query_scalar(next).bind(run).fetch_optional(&mut **tx).await?;
        // A run that was deleted with its agent must not add events to a new agent of the same name.
        envelope.sequence = Some(sequence.ok_or_else(|| Error::not_found("run", run))?);
    }
    let insert = "INSERT INTO events (event_id, timestamp, agent_id, run_id, sequence, event_type, payload)
                  VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING position";
    let position = sqlx::query_scalar(insert)
        .bind(&envelope.event_id)
        .bind(&envelope.timestamp)
        .bind(&envelope.agent_id)
        .bind(&envelope.run_id)
        .bind(envelope.sequence)
        .bind(&envelope.event_type)
        .bind(envelope.payload.get())
        .fetch_one(&mut **tx)
        .await?;
    tx.broadcast(LoggedEvent { position: Some(position), envelope });
    Ok(())
}

/// Returns the next events after a position, oldest first. Returns at most `limit` events and stops once the
/// page is full. Only the filter's agents or runs are applied here.
pub async fn after(db: &mut Db, position: i64, filter: &Filter, limit: i64) -> Result<Vec<LoggedEvent>> {
    let (sql, wanted) = match (&*filter.runs, &*filter.agents) {
        ([], []) => ("SELECT * FROM events WHERE position > ?1 ORDER BY position LIMIT ?2", &filter.runs),
        ([], _) => (
            "SELECT * FROM events WHERE position > ?1 AND agent_id IN (SELECT value FROM json_each(?3))
             ORDER BY position LIMIT ?2",
            &filter.agents,
        ),
        _ => (
            "SELECT * FROM events WHERE position > ?1 AND run_id IN (SELECT value FROM json_each(?3))
             ORDER BY position LIMIT ?2",
            &filter.runs,
        ),
    };
    let mut rows = sqlx::query_as::<_, Row>(sql).bind(position).bind(limit).bind(to_json(wanted)?).fetch(db);
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

/// Returns the number of events.
pub async fn count(db: &mut Db) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT COUNT(*) FROM events").fetch_one(db).await?)
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

/// Removes up to `max` of the oldest events: those older than `before`, and the first `excess`. Stops at the
/// first event that stays. Returns the number of removed events.
pub async fn prune(tx: &mut Tx, before: Option<&str>, excess: i64, max: i64) -> Result<i64> {
    let sql = "SELECT position, timestamp FROM events ORDER BY position LIMIT ?";
    let oldest: Vec<(i64, String)> = sqlx::query_as(sql).bind(max).fetch_all(&mut **tx).await?;
    let old = |timestamp: &str| before.is_some_and(|before| timestamp < before);
    let removed = (0..).zip(&oldest).take_while(|(index, (_, timestamp))| *index < excess || old(timestamp));
    let Some((index, (position, _))) = removed.last() else { return Ok(0) };
    sqlx::query("DELETE FROM events WHERE position <= ?").bind(position).execute(&mut **tx).await?;
    sqlx::query("UPDATE event_log SET pruned = ?").bind(position).execute(&mut **tx).await?;
    Ok(index + 1)
}

/// Whether the agent exists, or the log has events of a former agent of that name.
pub async fn knows_agent(db: &mut Db, agent: &Name) -> Result<bool> {
    let sql =
        "SELECT EXISTS (SELECT 1 FROM agents WHERE name = ?1) OR EXISTS (SELECT 1 FROM events WHERE agent_id = ?1)";
    Ok(sqlx::query_scalar(sql).bind(agent.as_str()).fetch_one(db).await?)
}

/// Removes all events of an agent.
pub async fn forget_agent(db: &mut Db, agent: &str) -> Result<()> {
    sqlx::query("DELETE FROM events WHERE agent_id = ?").bind(agent).execute(db).await?;
    Ok(())
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

/// Inserts an event into the log, in the same transaction as the change that it describes.
pub async fn record(tx: &mut Tx, subject: &EventContext, event: Event) -> Result<()> {
    let envelope = envelope(tx.now(), subject, &event)?;
    if let Some(payload) = event.audit_payload(&subject.actor)? {
        crate::audit::append(tx, &subject.actor, &envelope, payload).await?;
    }
    append(tx, envelope).await
}

/// Inserts several events, in order.
pub async fn record_all(tx: &mut Tx, subject: &EventContext, events: Vec<Event>) -> Result<()> {
    for event in events {
        record(tx, subject, event).await?;
    }
    Ok(())
}
