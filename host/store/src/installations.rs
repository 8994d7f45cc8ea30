//! Installations of components.

use moxxy_types::{
    agents::AgentKey,
    checks::Report,
    components::World,
    digest::Digest,
    error::{Error, Result},
    ids::{InstallationId, Name},
    installations::{Filter, Installation, InstallationKey, NewInstallation},
    paging::{Page, PageRequest},
    permissions::Names,
};
use serde_json::{Map, Value};
use sqlx::FromRow;

use super::{Db, Tx, components, from_json, grants, learned_models, to_json};

#[derive(FromRow)]
struct Row {
    key: InstallationKey,
    id: InstallationId,
    agent: Option<AgentKey>,
    agent_id: Option<Name>,
    kind: World,
    name: Name,
    config: String,
    accepted: String,
    concurrency: Option<u32>,
    previous: Option<String>,
    all_agents: bool,
    revision: i64,
    created_at: String,
    updated_at: String,
    report: Option<String>,
    #[sqlx(flatten)]
    component: components::Row,
}

/// A query for installations with their components.
macro_rules! select {
    ($($rest:literal),+) => {
        concat!(
            "SELECT i.key, i.id, i.agent, a.name AS agent_id, i.kind, i.name, i.config, i.accepted, i.concurrency, i.previous,
             i.all_agents, i.revision, i.created_at, i.updated_at, c.digest, c.world, c.manifest, c.tools, c.imports, c.size, k.report
             FROM installations i JOIN components c ON c.digest = i.digest
             LEFT JOIN agents a ON a.key = i.agent
             LEFT JOIN provider_checks k ON k.installation = i.key AND k.digest = i.digest AND k.config = i.config ",
            $($rest),+
        )
    };
}

pub async fn insert(tx: &mut Tx, new: &NewInstallation) -> Result<InstallationKey> {
    let sql = "INSERT INTO installations (id, agent, kind, name, digest, config, accepted, concurrency, created_at,
               updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9) RETURNING key";
    let now = tx.now();
    let inserted = sqlx::query_scalar(sql)
        .bind(InstallationId::random().as_str())
        .bind(new.agent.map(|agent| agent.0))
        .bind(new.kind)
        .bind(new.name.as_str())
        .bind(new.digest.as_str())
        .bind(to_json(&new.config)?)
        .bind(to_json(&new.accepted)?)
        .bind(new.concurrency)
        .bind(now)
        .fetch_one(&mut **tx)
        .await;
    match inserted {
        Err(sqlx::Error::Database(e)) if e.is_unique_violation() => Err(match new.kind {
            World::Skill => {
                let whose = if new.agent.is_some() { "The agent" } else { "The server" };
                let message = format!("{whose} has a skill '{}' already; delete it first", new.name);
                Error::conflict("skill_exists", message)
            }
            World::Provider => Error::conflict("provider_exists", format!("Provider '{}' exists already", new.name)),
        }),
        other => Ok(other?),
    }
}

/// Stores the configuration, the consent and the concurrency.
pub async fn update(tx: &mut Tx, installation: &Installation) -> Result<()> {
    let sql = "UPDATE installations SET config = ?, accepted = ?, concurrency = ?, revision = revision + 1,
               updated_at = ? WHERE key = ?";
    let now = tx.now();
    sqlx::query(sql)
        .bind(to_json(&installation.config)?)
        .bind(to_json(&installation.accepted)?)
        .bind(installation.concurrency)
        .bind(now)
        .bind(installation.key.0)
        .execute(&mut **tx)
        .await?;
    learned_models::forget(tx, installation.key).await
}

/// Replaces the component with its configuration and consent. Keeps the old ones as the previous version.
pub async fn replace(
    tx: &mut Tx,
    key: InstallationKey,
    digest: &Digest,
    config: &Map<String, Value>,
    accepted: &Names,
) -> Result<()> {
    let sql = "UPDATE installations SET previous = digest, previous_config = config, previous_accepted = accepted,
               digest = ?, config = ?, accepted = ?, revision = revision + 1, updated_at = ? WHERE key = ?";
    let now = tx.now();
    let query = sqlx::query(sql).bind(digest.as_str()).bind(to_json(config)?).bind(to_json(accepted)?);
    query.bind(now).bind(key.0).execute(&mut **tx).await?;
    learned_models::forget(tx, key).await
}

/// Swaps the current version with the previous one, with configuration and consent.
pub async fn swap(tx: &mut Tx, key: InstallationKey) -> Result<()> {
    let sql = "UPDATE installations SET previous = digest, previous_config = config, previous_accepted = accepted,
               digest = previous, config = previous_config, accepted = previous_accepted, revision = revision + 1,
               updated_at = ? WHERE key = ? AND previous IS NOT NULL";
    let now = tx.now();
    sqlx::query(sql).bind(now).bind(key.0).execute(&mut **tx).await?;
    learned_models::forget(tx, key).await
}

pub async fn delete(tx: &mut Tx, key: InstallationKey) -> Result<()> {
    sqlx::query("DELETE FROM installations WHERE key = ?").bind(key.0).execute(&mut **tx).await?;
    Ok(())
}

/// Whether an installation still exists. A later one of the same name has another key.
pub async fn exists(db: &mut Db, key: InstallationKey) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM installations WHERE key = ?)";
    Ok(sqlx::query_scalar(sql).bind(key.0).fetch_one(db).await?)
}

/// A query for the skills that an agent may use: its own, and those of the server that are enabled for it.
macro_rules! select_skills {
    ($rest:literal) => {
        select!(
            "WHERE i.kind = 'skill' AND (i.agent = ?1 OR i.agent IS NULL AND (i.all_agents OR EXISTS
                 (SELECT 1 FROM installation_agents e WHERE e.installation = i.key AND e.agent = ?1))) ",
            $rest
        )
    };
}

/// Returns a skill that an agent may use.
pub async fn skill(db: &mut Db, agent: AgentKey, name: &Name) -> Result<Installation> {
    let query = sqlx::query_as(select_skills!("AND i.name = ?2")).bind(agent.0).bind(name.as_str());
    let row = query.fetch_optional(&mut *db).await?;
    one(db, row, || Error::not_found("skill", name)).await
}

/// Returns a provider of the server.
pub async fn provider(db: &mut Db, name: &Name) -> Result<Installation> {
    let sql = select!("WHERE COALESCE(i.agent, 0) = 0 AND i.kind = 'provider' AND i.name = ?");
    let row = sqlx::query_as(sql).bind(name.as_str()).fetch_optional(&mut *db).await?;
    one(db, row, || Error::not_found("provider", name)).await
}

/// Returns an installation by its key.
pub async fn by_key(db: &mut Db, key: InstallationKey) -> Result<Installation> {
    let row = sqlx::query_as(select!("WHERE i.key = ?")).bind(key.0).fetch_optional(&mut *db).await?;
    one(db, row, || Error::internal("no installation")).await
}

/// Returns an installation by its id.
pub async fn by_id(db: &mut Db, id: &InstallationId) -> Result<Installation> {
    let row = sqlx::query_as(select!("WHERE i.id = ?")).bind(id.as_str()).fetch_optional(&mut *db).await?;
    one(db, row, || Error::not_found("installation", id)).await
}

/// Returns a page of the skills that an agent may use, by name.
pub async fn page_of_skills(db: &mut Db, agent: AgentKey, page: &PageRequest) -> Result<Vec<Installation>> {
    let query = sqlx::query_as(select_skills!("AND i.name > ?2 ORDER BY i.name LIMIT ?3")).bind(agent.0);
    let rows = query.bind(page.after()).bind(page.rows()).fetch_all(&mut *db).await?;
    all(db, rows).await
}

/// Returns a page of the server's providers, by name.
pub async fn page_of_providers(db: &mut Db, page: &PageRequest) -> Result<Vec<Installation>> {
    let sql = select!("WHERE COALESCE(i.agent, 0) = 0 AND i.kind = 'provider' AND i.name > ? ORDER BY i.name LIMIT ?");
    let rows = sqlx::query_as(sql).bind(page.after()).bind(page.rows()).fetch_all(&mut *db).await?;
    all(db, rows).await
}

/// Returns a page of installations of every kind, oldest first.
pub async fn page(db: &mut Db, filter: &Filter, page: &PageRequest) -> Result<Page<Installation>> {
    let sql = match filter.agent {
        Some(_) => select!("WHERE i.key > ?1 AND i.agent = ?2 AND (?3 IS NULL OR i.kind = ?3) ORDER BY i.key LIMIT ?4"),
        None => select!("WHERE i.key > ?1 AND ?2 IS NULL AND (?3 IS NULL OR i.kind = ?3) ORDER BY i.key LIMIT ?4"),
    };
    let query = sqlx::query_as(sql).bind(page.position()?.unwrap_or(0)).bind(filter.agent.map(|agent| agent.0));
    let rows = query.bind(filter.kind).bind(page.rows()).fetch_all(&mut *db).await?;
    Ok(page.cut(all(db, rows).await?, |installation| installation.key.0.to_string()))
}

/// Returns all skills that an agent may use, by name.
pub async fn skills(db: &mut Db, agent: AgentKey) -> Result<Vec<Installation>> {
    let rows = sqlx::query_as(select_skills!("ORDER BY i.name")).bind(agent.0).fetch_all(&mut *db).await?;
    all(db, rows).await
}

/// Returns the names of the agents that a skill of the server is enabled for, in order.
pub async fn agents(db: &mut Db, key: InstallationKey) -> Result<Vec<Name>> {
    let sql = "SELECT a.name FROM installation_agents e JOIN agents a ON a.key = e.agent WHERE e.installation = ?
               ORDER BY a.name";
    Ok(sqlx::query_scalar(sql).bind(key.0).fetch_all(db).await?)
}

/// Enables a skill of the server for these agents, and for no others unless `all`.
pub async fn set_agents(tx: &mut Tx, key: InstallationKey, agents: &[AgentKey], all: bool) -> Result<()> {
    let sql = "UPDATE installations SET all_agents = ?, revision = revision + 1, updated_at = ? WHERE key = ?";
    let now = tx.now();
    sqlx::query(sql).bind(all).bind(now).bind(key.0).execute(&mut **tx).await?;
    sqlx::query("DELETE FROM installation_agents WHERE installation = ?").bind(key.0).execute(&mut **tx).await?;
    let agents: Vec<_> = agents.iter().map(|agent| agent.0).collect();
    let sql = "INSERT INTO installation_agents SELECT ?, value FROM json_each(?)";
    sqlx::query(sql).bind(key.0).bind(to_json(&agents)?).execute(&mut **tx).await?;
    Ok(())
}

/// Returns up to `max` of the agents that have another skill of the same name as this skill of the server, of their own
/// and of those that it is enabled for.
pub async fn agents_with_another(tx: &mut Tx, installation: &Installation, all: bool, max: i64) -> Result<Vec<Name>> {
    let of_all = "SELECT a.name FROM installations i JOIN agents a ON a.key = i.agent
                  WHERE i.kind = 'skill' AND i.name = ?1 AND ?2 > 0 ORDER BY a.name LIMIT ?3";
    let of_some = "SELECT a.name FROM installation_agents e JOIN agents a ON a.key = e.agent
                   JOIN installations i ON i.agent = e.agent AND i.kind = 'skill' AND i.name = ?1
                   WHERE e.installation = ?2 ORDER BY a.name LIMIT ?3";
    let query = sqlx::query_scalar(if all { of_all } else { of_some }).bind(installation.name.as_str());
    Ok(query.bind(installation.key.0).bind(max).fetch_all(&mut **tx).await?)
}

async fn one(db: &mut Db, row: Option<Row>, missing: impl FnOnce() -> Error) -> Result<Installation> {
    all(db, vec![row.ok_or_else(missing)?]).await?.pop().ok_or_else(|| Error::internal("no installation"))
}

/// Converts rows and adds their grants.
async fn all(db: &mut Db, rows: Vec<Row>) -> Result<Vec<Installation>> {
    let mut all: Vec<_> = rows.into_iter().map(TryInto::try_into).collect::<Result<_>>()?;
    add_grants(db, &mut all).await?;
    Ok(all)
}

/// Adds the grants for the current versions.
async fn add_grants(db: &mut Db, installations: &mut [Installation]) -> Result<()> {
    // Most components use no secrets: skip the query.
    let uses_secrets = |one: &&Installation| !one.component.manifest.secrets.is_empty();
    let keys: Vec<_> = installations.iter().filter(uses_secrets).map(|one| one.key).collect();
    if keys.is_empty() {
        return Ok(());
    }
    for (key, grant) in grants::of_installations(db, &keys).await? {
        if let Some(one) = installations.iter_mut().find(|one| one.key == key && one.component.digest == grant.digest) {
            one.grants.push(grant);
        }
    }
    Ok(())
}

impl TryFrom<Row> for Installation {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            key: row.key,
            id: row.id,
            agent: row.agent,
            agent_id: row.agent_id,
            kind: row.kind,
            name: row.name,
            component: row.component.try_into()?,
            config: from_json(&row.config)?,
            accepted: from_json(&row.accepted)?,
            concurrency: row.concurrency,
            grants: Vec::new(),
            check: row.report.as_deref().map(from_json::<Report>).transpose()?.map(Report::summary),
            previous: row.previous.map(Digest::from_db),
            all_agents: row.all_agents,
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}
