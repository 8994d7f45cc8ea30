//! Agents.

use std::collections::{BTreeMap, BTreeSet};

use moxxy_types::{
    agents::{Agent, AgentKey, Settings},
    error::{Error, Result},
    ids::Name,
    paging::PageRequest,
    policy::Policy,
};
use sqlx::FromRow;

use super::{Db, Tx, from_json, to_json};

/// A query for agents with the status that derives from their runs.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT a.*,
             (SELECT value FROM json_each('[\"running\", \"waiting\", \"queued\"]') WHERE EXISTS
              (SELECT 1 FROM runs r WHERE r.agent = a.key AND r.status = value AND r.ended_at IS NULL)
              ORDER BY key LIMIT 1) AS open_status,
             (SELECT r.status FROM runs r WHERE r.agent = a.key ORDER BY r.position DESC LIMIT 1) AS last_status
             FROM agents a ",
            $rest
        )
    };
}

#[derive(FromRow)]
struct Row {
    key: i64,
    name: String,
    provider: String,
    model: String,
    persona: Option<String>,
    temperature: Option<f64>,
    options: String,
    limits: String,
    fallbacks: String,
    created_at: String,
    updated_at: String,
    open_status: Option<String>,
    last_status: Option<String>,
}

#[derive(FromRow)]
struct WithPolicy {
    #[sqlx(flatten)]
    agent: Row,
    tool_policy: String,
}

pub async fn insert(tx: &mut Tx, name: &Name, settings: &Settings) -> Result<()> {
    let sql = "INSERT INTO agents (name, provider, model, persona, temperature, limits, fallbacks, options, created_at,
               updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?9, ?8, ?8)";
    write(tx, sql, name, settings).await
}

pub async fn update(tx: &mut Tx, name: &Name, settings: &Settings) -> Result<()> {
    let sql = "UPDATE agents SET provider = ?2, model = ?3, persona = ?4, temperature = ?5, limits = ?6,
               fallbacks = ?7, updated_at = ?8, options = ?9 WHERE name = ?1";
    write(tx, sql, name, settings).await
}

async fn write(tx: &mut Tx, sql: &'static str, name: &Name, settings: &Settings) -> Result<()> {
    let now = tx.now();
    let fallbacks = to_json(&settings.fallbacks)?;
    if !all_providers_exist(tx, &to_json(&settings.models().collect::<Vec<_>>())?).await? {
        return Err(provider_removed());
    }
    let written = sqlx::query(sql)
        .bind(name.as_str())
        .bind(settings.provider.as_str())
        .bind(&settings.model)
        .bind(&settings.persona)
        .bind(settings.temperature)
        .bind(to_json(&settings.limits)?)
        .bind(fallbacks)
        .bind(now)
        .bind(to_json(&settings.options)?)
        .execute(&mut **tx)
        .await;
    match written {
        Err(sqlx::Error::Database(e)) if e.is_unique_violation() => {
            Err(Error::conflict("agent_exists", format!("Agent '{name}' exists already")))
        }
        other => other.map(drop).map_err(Error::from),
    }
}

/// Whether the providers of all models exist.
async fn all_providers_exist(tx: &mut Tx, models: &str) -> Result<bool> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM json_each(?) f
               WHERE NOT EXISTS (SELECT 1 FROM installations i
                   WHERE COALESCE(i.agent, 0) = 0 AND i.kind = 'provider' AND i.name = f.value ->> 'provider'))";
    Ok(sqlx::query_scalar(sql).bind(models).fetch_one(&mut **tx).await?)
}

fn provider_removed() -> Error {
    Error::conflict("changed_meanwhile", "The provider was removed meanwhile")
}

/// Returns the keys of those of these agents that exist.
pub async fn keys(db: &mut Db, names: &BTreeSet<Name>) -> Result<BTreeMap<Name, AgentKey>> {
    let sql = "SELECT name, key FROM agents WHERE name IN (SELECT value FROM json_each(?))";
    let rows: Vec<(Name, AgentKey)> = sqlx::query_as(sql).bind(to_json(names)?).fetch_all(db).await?;
    Ok(rows.into_iter().collect())
}

/// Deletes the agent with its skills. Its name is free, and its other rows are left to [`remove_rows`].
pub async fn delete(tx: &mut Tx, key: AgentKey) -> Result<()> {
    let position = super::events::last_position(tx).await?;
    let now = tx.now();
    // A name that no agent can have, because names are unique.
    let sql = "UPDATE agents SET deleted_at = ?, former_name = name, name = '~' || key, removed_to = ? WHERE key = ?";
    sqlx::query(sql).bind(now).bind(position).bind(key.0).execute(&mut **tx).await?;
    for sql in [
        "DELETE FROM installations WHERE agent = ?",
        "UPDATE installations SET revision = revision + 1
         WHERE key IN (SELECT installation FROM installation_agents WHERE agent = ?)",
        "DELETE FROM installation_agents WHERE agent = ?",
    ] {
        sqlx::query(sql).bind(key.0).execute(&mut **tx).await?;
    }
    super::runs::cancel_all(tx, key).await
}

/// Removes up to about `max` rows of a deleted agent. Returns whether nothing is left of it.
pub async fn remove_rows(tx: &mut Tx, key: AgentKey, max: u64) -> Result<bool> {
    let mut left = max;
    while let Some(run) = super::runs::first_of(tx, key).await? {
        left = left.saturating_sub(super::runs::remove_rows(tx, &run, left).await?);
        if left == 0 {
            return Ok(false);
        }
    }
    for sql in [
        "DELETE FROM keyvalue WHERE rowid IN (SELECT rowid FROM keyvalue WHERE agent = ? LIMIT ?)",
        "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE agent = ? LIMIT ?)",
        "DELETE FROM events WHERE position IN (SELECT e.position FROM agents a JOIN events e
         ON e.agent_id = a.former_name AND e.position <= a.removed_to WHERE a.key = ? LIMIT ?)",
    ] {
        let limit = i64::try_from(left).map_err(Error::internal)?;
        left -= sqlx::query(sql).bind(key.0).bind(limit).execute(&mut **tx).await?.rows_affected().min(left);
        if left == 0 {
            return Ok(false);
        }
    }
    let sql = "DELETE FROM agents WHERE key = ? AND deleted_at IS NOT NULL";
    sqlx::query(sql).bind(key.0).execute(&mut **tx).await?;
    Ok(true)
}

pub async fn get(db: &mut Db, name: &Name) -> Result<Agent> {
    let row: Option<Row> = sqlx::query_as(select!("WHERE a.name = ?")).bind(name.as_str()).fetch_optional(db).await?;
    row.ok_or_else(|| Error::not_found("agent", name))?.try_into()
}

/// Whether the agent still exists. A new agent of the same name has another key.
pub async fn exists(db: &mut Db, agent: AgentKey) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM agents WHERE key = ? AND deleted_at IS NULL)";
    Ok(sqlx::query_scalar(sql).bind(agent.0).fetch_one(db).await?)
}

/// Returns the current settings and the tool policy of an agent.
pub async fn settings(db: &mut Db, agent: AgentKey) -> Result<(Settings, Policy)> {
    let sql = "SELECT *, NULL AS open_status, NULL AS last_status FROM agents
               WHERE key = ? AND deleted_at IS NULL";
    let row: Option<WithPolicy> = sqlx::query_as(sql).bind(agent.0).fetch_optional(db).await?;
    let WithPolicy { agent, tool_policy } = row.ok_or_else(|| Error::not_found("agent", agent.0))?;
    Ok((Agent::try_from(agent)?.settings, from_json(&tool_policy)?))
}

/// Returns the tool policy of an agent.
pub async fn policy(db: &mut Db, agent: AgentKey) -> Result<Policy> {
    let policy: Option<String> =
        sqlx::query_scalar("SELECT tool_policy FROM agents WHERE key = ?").bind(agent.0).fetch_optional(db).await?;
    from_json(policy.as_deref().unwrap_or("{}"))
}

pub async fn set_policy(tx: &mut Tx, agent: AgentKey, policy: &Policy) -> Result<()> {
    let (policy, now) = (to_json(policy)?, tx.now());
    let sql = "UPDATE agents SET tool_policy = ?, updated_at = ? WHERE key = ?";
    sqlx::query(sql).bind(policy).bind(now).bind(agent.0).execute(&mut **tx).await?;
    Ok(())
}

/// Returns a page of agents, ordered by name.
pub async fn list(db: &mut Db, page: &PageRequest) -> Result<Vec<Agent>> {
    let sql = select!("WHERE a.name > ? AND a.deleted_at IS NULL ORDER BY a.name LIMIT ?");
    let rows: Vec<Row> = sqlx::query_as(sql).bind(page.after()).bind(page.rows()).fetch_all(db).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Whether the database has no agent and never had one.
pub async fn none_ever(db: &mut Db) -> Result<bool> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'agents' AND seq > 0)";
    Ok(sqlx::query_scalar(sql).fetch_one(db).await?)
}

/// Returns the agents that use a provider, including those that only fall back to it.
pub async fn of_provider(db: &mut Db, provider: &Name) -> Result<Vec<String>> {
    let sql = "SELECT name FROM agents a WHERE deleted_at IS NULL AND (provider = ?1
               OR EXISTS (SELECT 1 FROM json_each(a.fallbacks) f WHERE f.value ->> 'provider' = ?1)) ORDER BY 1";
    Ok(sqlx::query_scalar(sql).bind(provider.as_str()).fetch_all(db).await?)
}

impl TryFrom<Row> for Agent {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            key: AgentKey(row.key),
            name: Name::from_db(row.name),
            settings: Settings {
                provider: Name::from_db(row.provider),
                model: row.model,
                fallbacks: from_json(&row.fallbacks)?,
                persona: row.persona,
                temperature: row.temperature,
                options: from_json(&row.options)?,
                limits: from_json(&row.limits)?,
            },
            template: None,
            status: status(row.open_status.as_deref(), row.last_status.as_deref()),
            warnings: Vec::new(),
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

fn status(open: Option<&str>, last: Option<&str>) -> &'static str {
    match (open, last) {
        (Some("waiting"), _) => "waiting",
        (Some(_), _) => "running",
        (None, Some("failed")) => "error",
        _ => "idle",
    }
}
