//! Installations of components.

use moxxy_types::{
    agents::AgentKey,
    checks::Report,
    components::World,
    digest::Digest,
    error::{Error, Result},
    ids::{InstallationId, Name},
    installations::{Installation, InstallationKey, NewInstallation},
    paging::PageRequest,
    permissions::Names,
};
use serde_json::{Map, Value};
use sqlx::FromRow;

use super::{Db, Tx, components, from_json, grants, to_json};

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
    revision: i64,
    created_at: String,
    updated_at: String,
    report: Option<String>,
    #[sqlx(flatten)]
    component: components::Row,
}

/// A query for installations with their components.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT i.key, i.id, i.agent, a.name AS agent_id, i.kind, i.name, i.config, i.accepted, i.concurrency, i.previous, i.revision,
             i.created_at, i.updated_at, c.digest, c.world, c.manifest, c.tools, c.imports, c.size, k.report
             FROM installations i JOIN components c ON c.digest = i.digest
             LEFT JOIN agents a ON a.key = i.agent
             LEFT JOIN provider_checks k ON k.installation = i.key AND k.digest = i.digest AND k.config = i.config ",
            $rest
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
                let message = format!("The agent has a skill '{}' already; delete it first", new.name);
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
    Ok(())
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
    Ok(())
}

/// Swaps the current version with the previous one, with configuration and consent.
pub async fn swap(tx: &mut Tx, key: InstallationKey) -> Result<()> {
    let sql = "UPDATE installations SET previous = digest, previous_config = config, previous_accepted = accepted,
               digest = previous, config = previous_config, accepted = previous_accepted, revision = revision + 1,
               updated_at = ? WHERE key = ? AND previous IS NOT NULL";
    let now = tx.now();
    sqlx::query(sql).bind(now).bind(key.0).execute(&mut **tx).await?;
    Ok(())
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

/// Returns a skill of an agent.
pub async fn skill(db: &mut Db, agent: AgentKey, name: &Name) -> Result<Installation> {
    get(db, Some(agent), World::Skill, name).await
}

/// Returns a provider of the server.
pub async fn provider(db: &mut Db, name: &Name) -> Result<Installation> {
    get(db, None, World::Provider, name).await
}

async fn get(db: &mut Db, agent: Option<AgentKey>, kind: World, name: &Name) -> Result<Installation> {
    let sql = select!("WHERE COALESCE(i.agent, 0) = ? AND i.kind = ? AND i.name = ?");
    let query = sqlx::query_as(sql).bind(agent.map_or(0, |agent| agent.0)).bind(kind).bind(name.as_str());
    let row: Option<Row> = query.fetch_optional(&mut *db).await?;
    let mut one = vec![row.ok_or_else(|| Error::not_found(kind.into_str(), name))?.try_into()?];
    add_grants(db, &mut one).await?;
    one.pop().ok_or_else(|| Error::internal("no installation"))
}

/// Returns a page of an agent's skills, or of the server's providers, by name.
pub async fn page(db: &mut Db, agent: Option<AgentKey>, kind: World, page: &PageRequest) -> Result<Vec<Installation>> {
    let sql = select!("WHERE COALESCE(i.agent, 0) = ? AND i.kind = ? AND i.name > ? ORDER BY i.name LIMIT ?");
    let query = sqlx::query_as(sql).bind(agent.map_or(0, |agent| agent.0)).bind(kind);
    let rows: Vec<Row> = query.bind(page.after()).bind(page.rows()).fetch_all(&mut *db).await?;
    let mut all: Vec<_> = rows.into_iter().map(TryInto::try_into).collect::<Result<_>>()?;
    add_grants(db, &mut all).await?;
    Ok(all)
}

/// Returns all skills of an agent, by name.
pub async fn skills(db: &mut Db, agent: AgentKey) -> Result<Vec<Installation>> {
    let sql = select!("WHERE COALESCE(i.agent, 0) = ? AND i.kind = 'skill' ORDER BY i.name");
    let rows: Vec<Row> = sqlx::query_as(sql).bind(agent.0).fetch_all(&mut *db).await?;
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
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}
