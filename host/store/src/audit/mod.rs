//! Audit log.

mod chain;

use std::sync::{Arc, OnceLock};

use futures_util::TryStreamExt as _;
use moxxy_types::{
    audit::{Entry, Filter},
    error::{Error, Result},
    events::Envelope,
    paging::{Page, PageRequest},
};
use serde_json::value::RawValue;
use sqlx::{AssertSqlSafe, FromRow, QueryBuilder, Sqlite};

pub use chain::{ChainVerifier, Ends, Hash, Key};

use super::{Db, Tx};

/// Tables whose rows are written together with an audit entry or after one.
const AUDITED_TABLES: [&str; 16] = [
    "agents",
    "audit",
    "daily_usage",
    "events",
    "grants",
    "installations",
    "keyvalue",
    "messages",
    "model_calls",
    "provider_checks",
    "questions",
    "runs",
    "secrets",
    "sessions",
    "steps",
    "tokens",
];
/// Tables of [`AUDITED_TABLES`] with creation times, where each row has an audit entry that is not older than the row.
const TIMESTAMPED_TABLES: [&str; 5] = ["agents", "grants", "installations", "secrets", "tokens"];
/// Events that always have an audit entry, whoever causes them.
const ALWAYS_AUDITED: [&str; 10] = [
    "egress.denied",
    "sandbox.limit_exceeded",
    "token.created",
    "token.denied",
    "token.revoked",
    "vault.accessed",
    "vault.denied",
    "vault.secret_created",
    "vault.secret_deleted",
    "vault.secret_rotated",
];

/// The key that chains entries, set once it is known.
#[derive(Debug, Clone, Default)]
pub struct Chain(Arc<OnceLock<Key>>);

impl Chain {
    pub(super) fn set(&self, key: Key) {
        // The key never changes after it was set.
        let _known = self.0.set(key);
    }

    fn key(&self) -> Result<Key> {
        self.0.get().cloned().ok_or_else(|| Error::internal("an entry of the audit log before its key"))
    }
}

#[derive(FromRow)]
struct Row {
    position: i64,
    timestamp: String,
    actor: String,
    agent_id: Option<String>,
    run_id: Option<String>,
    event_type: String,
    payload: String,
    hash: Vec<u8>,
}

#[derive(FromRow)]
struct State {
    pruned: i64,
    pruned_hash: Vec<u8>,
    last: i64,
    last_hash: Vec<u8>,
    broken: i64,
    mac: Vec<u8>,
}

/// Appends an entry for an action of `actor`.
pub async fn append(tx: &mut Tx, actor: &str, event: &Envelope, payload: Arc<RawValue>) -> Result<()> {
    let key = tx.chain().key()?;
    let mut ends = ends_for_update(tx, &key).await?;
    let entry = Entry {
        position: ends.last + 1,
        timestamp: event.timestamp.clone(),
        actor: actor.to_owned(),
        agent_id: event.agent_id.clone(),
        run_id: event.run_id.clone(),
        event_type: event.event_type.clone(),
        payload,
    };
    (ends.last, ends.last_hash) = (entry.position, key.link(&ends.last_hash, &entry));
    let sql = "INSERT INTO audit (position, timestamp, actor, agent_id, run_id, event_type, payload, hash)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(sql)
        .bind(entry.position)
        .bind(&entry.timestamp)
        .bind(&entry.actor)
        .bind(&entry.agent_id)
        .bind(&entry.run_id)
        .bind(&entry.event_type)
        .bind(entry.payload.get())
        .bind(ends.last_hash.0.as_slice())
        .execute(&mut **tx)
        .await?;
    set_ends(tx, &ends, &key).await
}

/// Returns the ends of the chain and their hash, or `None` before the first key.
pub async fn ends(db: &mut Db) -> Result<Option<(Ends, Option<Hash>)>> {
    let sql = "SELECT pruned, pruned_hash, last, last_hash, broken, mac FROM audit_state";
    let state: Option<State> = sqlx::query_as(sql).fetch_optional(db).await?;
    let convert = |state: State| {
        let State { pruned, last, broken, .. } = state;
        let hash = |bytes: &[u8]| Hash::read(bytes).unwrap_or(Ends::default().last_hash);
        let (pruned_hash, last_hash) = (hash(&state.pruned_hash), hash(&state.last_hash));
        (Ends { pruned, pruned_hash, last, last_hash, broken }, Hash::read(&state.mac))
    };
    Ok(state.map(convert))
}

/// Returns the ends before an update. If they were tampered with, marks them, because the new hash would hide
/// it.
pub async fn ends_for_update(tx: &mut Tx, key: &Key) -> Result<Ends> {
    let (ends, fit) = verify_ends(tx, key).await?;
    if fit {
        return Ok(ends);
    }
    tracing::error!("the audit log was tampered with: run `moxxy audit verify`");
    Ok(ends.broken())
}

/// Returns the ends, and whether they match their hash and the newest entry.
pub async fn verify_ends(db: &mut Db, key: &Key) -> Result<(Ends, bool)> {
    let (mut ends, mac) = ends(db).await?.unwrap_or_default();
    let newest = sqlx::query_scalar("SELECT MAX(position) FROM audit").fetch_one(db).await?;
    let newest: i64 = Option::unwrap_or(newest, ends.pruned);
    let fit = mac == Some(key.close(&ends)) && newest == ends.last;
    ends.last = ends.last.max(newest);
    Ok((ends, fit))
}

/// Marks the log permanently as tampered with.
pub async fn mark_broken(tx: &mut Tx) -> Result<()> {
    let key = tx.chain().key()?;
    let ends = ends_for_update(tx, &key).await?.broken();
    set_ends(tx, &ends, &key).await
}

/// Whether a server has used this database: it has rows that require an audit entry, or traces of such rows.
pub async fn is_used(db: &mut Db) -> Result<bool> {
    let mut sql = "SELECT EXISTS (SELECT 1 FROM sqlite_sequence WHERE seq > 0)
                   OR EXISTS (SELECT 1 FROM event_log WHERE pruned > 0)"
        .to_owned();
    for table in AUDITED_TABLES {
        sql += &format!(" OR EXISTS (SELECT 1 FROM {table})");
    }
    Ok(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(db).await?)
}

/// Returns the time of the newest change that requires an audit entry, and the time of the newest entry.
pub async fn newest_change(db: &mut Db) -> Result<(Option<String>, Option<String>)> {
    let types = ALWAYS_AUDITED.map(|event_type| format!("'{event_type}'")).join(", ");
    // The log can be long. The newest events suffice to detect a truncated audit log.
    let mut sql = format!(
        "SELECT MAX(at), (SELECT MAX(timestamp) FROM audit) FROM (SELECT MAX(timestamp) AS at FROM
         (SELECT event_type, timestamp FROM events ORDER BY position DESC LIMIT 1000) WHERE event_type IN ({types})"
    );
    for table in TIMESTAMPED_TABLES {
        sql += &format!(" UNION ALL SELECT MAX(created_at) FROM {table}");
    }
    Ok(sqlx::query_as(AssertSqlSafe(sql + ")")).fetch_one(db).await?)
}

/// Whether the database has the tables of the audit log.
pub async fn has_tables(db: &mut Db) -> Result<bool> {
    let sql = "SELECT COUNT(*) FROM sqlite_schema WHERE name IN ('audit', 'audit_keys', 'audit_state')";
    Ok(sqlx::query_scalar::<_, i64>(sql).fetch_one(db).await? == 3)
}

pub async fn set_ends(tx: &mut Tx, ends: &Ends, key: &Key) -> Result<()> {
    let sql = "INSERT INTO audit_state (only, pruned, pruned_hash, last, last_hash, broken, mac)
               VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET pruned = ?1, pruned_hash = ?2,
               last = ?3, last_hash = ?4, broken = ?5, mac = ?6";
    sqlx::query(sql)
        .bind(ends.pruned)
        .bind(ends.pruned_hash.0.as_slice())
        .bind(ends.last)
        .bind(ends.last_hash.0.as_slice())
        .bind(ends.broken)
        .bind(key.close(ends).0.as_slice())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Returns the number of entries that [`prune`] would remove, counted up to `max`.
pub async fn removable(db: &mut Db, before: &str, max: i64) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM (SELECT 1 FROM audit
               WHERE position < COALESCE((SELECT MIN(position) FROM audit WHERE timestamp >= ?), 9223372036854775807)
               LIMIT ?)";
    Ok(sqlx::query_scalar(sql).bind(before).bind(max).fetch_one(db).await?)
}

/// Removes entries older than `before`, from the first on, if they were not tampered with. Clocks may go back,
/// so an entry stays until all later entries may be removed too. Each of `keys` comes with the position of its
/// first entry.
pub async fn prune(tx: &mut Tx, before: &str, keys: Vec<(i64, Key)>) -> Result<()> {
    let key = tx.chain().key()?;
    let mut ends = ends_for_update(tx, &key).await?;
    let sql = "SELECT * FROM audit
               WHERE position < COALESCE((SELECT MIN(position) FROM audit WHERE timestamp >= ?), 9223372036854775807)
               ORDER BY position";
    let mut rows = sqlx::query_as::<_, Row>(sql).bind(before).fetch(&mut **tx);
    let mut chain = ChainVerifier::new(keys, key.clone(), &ends);
    let mut intact = true;
    while let Some(row) = rows.try_next().await? {
        let (entry, hash) = row.into_entry()?;
        let step = chain.verify(&entry, hash);
        if !(step.follows && step.fits) {
            intact = false;
            break;
        }
    }
    drop(rows);
    if !intact {
        // Removing the entries would destroy the evidence.
        tracing::error!("the audit log was tampered with and is not pruned: run `moxxy audit verify`");
        return Ok(());
    }
    if chain.last > ends.pruned {
        (ends.pruned, ends.pruned_hash) = (chain.last, chain.hash.unwrap_or(ends.pruned_hash));
        sqlx::query("DELETE FROM audit WHERE position <= ?").bind(chain.last).execute(&mut **tx).await?;
        set_ends(tx, &ends, &key).await?;
    }
    Ok(())
}

/// Payload size at which a page is full, in bytes.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Returns a page of entries, newest first. The page is shorter if entries are large.
pub async fn page(db: &mut Db, filter: &Filter, page: &PageRequest) -> Result<Page<Entry>> {
    let mut sql = QueryBuilder::<Sqlite>::new("SELECT * FROM audit WHERE position < ");
    sql.push_bind(page.position()?.unwrap_or(i64::MAX));
    let conditions = [
        (" AND agent_id = ", &filter.agent),
        (" AND run_id = ", &filter.run),
        (" AND event_type GLOB ", &filter.event_type),
        (" AND actor = ", &filter.actor),
        (" AND timestamp >= ", &filter.since),
        (" AND timestamp < ", &filter.until),
    ];
    for (condition, value) in conditions.into_iter().filter_map(|(sql, value)| Some((sql, value.as_ref()?))) {
        sql.push(condition).push_bind(value);
    }
    sql.push(" ORDER BY position DESC LIMIT ").push_bind(page.rows());
    let (mut entries, mut bytes) = (Vec::new(), 0);
    let query = sql.build_query_as::<Row>();
    let mut rows = query.fetch(db);
    while let Some(row) = rows.try_next().await? {
        if bytes >= MAX_PAGE_BYTES {
            let next = entries.last().map(|entry: &Entry| entry.position.to_string());
            return Ok(Page { items: entries, next });
        }
        bytes += row.payload.len();
        entries.push(row.into_entry()?.0);
    }
    Ok(page.cut(entries, |entry| entry.position.to_string()))
}

/// Calls `check` with every entry and its hash, in order.
pub async fn each(db: &mut Db, mut check: impl FnMut(Entry, Option<Hash>)) -> Result<()> {
    let mut rows = sqlx::query_as::<_, Row>("SELECT * FROM audit ORDER BY position").fetch(db);
    while let Some(row) = rows.try_next().await? {
        let (entry, hash) = row.into_entry()?;
        check(entry, hash);
    }
    Ok(())
}

/// Returns the sealed keys, each with the position of its first entry.
pub async fn keys(db: &mut Db) -> Result<Vec<(i64, Vec<u8>)>> {
    if !has_tables(db).await? {
        let message = "The tables of the audit log are missing: the database was tampered with. Restore a backup";
        return Err(Error::conflict("audit_log_missing", message));
    }
    Ok(sqlx::query_as("SELECT first, sealed FROM audit_keys ORDER BY first").fetch_all(db).await?)
}

/// Stores the sealed key for the entries from `first` on.
pub async fn set_key(tx: &mut Tx, first: i64, sealed: &[u8]) -> Result<()> {
    let sql = "INSERT INTO audit_keys (first, sealed) VALUES (?, ?) ON CONFLICT DO UPDATE SET sealed = excluded.sealed";
    sqlx::query(sql).bind(first).bind(sealed).execute(&mut **tx).await?;
    Ok(())
}

impl Row {
    fn into_entry(self) -> Result<(Entry, Option<Hash>)> {
        let hash = Hash::read(&self.hash);
        // Do not fail on a payload that was tampered with: the verification reports it.
        let payload = RawValue::from_string(self.payload.clone())
            .or_else(|_| serde_json::value::to_raw_value(&self.payload))
            .map_err(Error::internal)?;
        let entry = Entry {
            position: self.position,
            timestamp: self.timestamp,
            actor: self.actor,
            agent_id: self.agent_id,
            run_id: self.run_id,
            event_type: self.event_type,
            payload: payload.into(),
        };
        Ok((entry, hash))
    }
}
