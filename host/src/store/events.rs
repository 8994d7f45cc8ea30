//! The log of events.

use std::sync::Arc;

use sqlx::{FromRow, Row as _, sqlite::SqliteRow};

use super::{Db, Tx, from_json, to_json};
use crate::{
    error::Result,
    events::{Envelope, Recorded},
};

/// Appends an event and notes it for the broadcast. Its sequence is the next of its run.
pub async fn append(tx: &mut Tx, mut envelope: Envelope) -> Result<()> {
    if let Some(run) = &envelope.run_id {
        let next = "UPDATE runs SET last_sequence = last_sequence + 1 WHERE id = ? RETURNING last_sequence";
        envelope.sequence = sqlx::query_scalar(next).bind(run).fetch_optional(&mut **tx).await?;
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
        .bind(to_json(envelope.payload.as_ref())?)
        .fetch_one(&mut **tx)
        .await?;
    tx.broadcast(Recorded { position: Some(position), envelope });
    Ok(())
}

/// The next events behind a position, oldest first.
pub async fn after(db: &mut Db, position: i64, limit: i64) -> Result<Vec<Recorded>> {
    let select = "SELECT * FROM events WHERE position > ? ORDER BY position LIMIT ?";
    let rows = sqlx::query(select).bind(position).bind(limit).fetch_all(db).await?;
    rows.iter().map(recorded).collect()
}

/// The position of the newest event, 0 in an empty log.
pub async fn last_position(db: &mut Db) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT COALESCE(MAX(position), 0) FROM events").fetch_one(db).await?)
}

/// Removes what the log says of an agent.
pub async fn forget_agent(db: &mut Db, agent: &str) -> Result<()> {
    sqlx::query("DELETE FROM events WHERE agent_id = ?").bind(agent).execute(db).await?;
    Ok(())
}

fn recorded(row: &SqliteRow) -> Result<Recorded> {
    let payload: String = row.try_get("payload")?;
    let payload = Arc::new(from_json(&payload)?);
    let rest = Columns::from_row(row)?;
    let envelope = Envelope {
        event_id: rest.event_id,
        timestamp: rest.timestamp,
        agent_id: rest.agent_id,
        run_id: rest.run_id,
        sequence: rest.sequence,
        event_type: rest.event_type,
        payload,
    };
    Ok(Recorded { position: Some(rest.position), envelope })
}

#[derive(FromRow)]
struct Columns {
    position: i64,
    event_id: String,
    timestamp: String,
    agent_id: Option<String>,
    run_id: Option<String>,
    sequence: Option<i64>,
    event_type: String,
}
