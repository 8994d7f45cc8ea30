//! Grants.

use moxxy_types::{
    agents::AgentKey,
    digest::Digest,
    error::{Error, Result},
    grants::{Grant, Holder, Mode},
    ids::{GrantId, Name, SecretId, SecretName},
    paging::PageRequest,
};
use sqlx::FromRow;

use super::{Db, Tx, from_json, to_json};

#[derive(FromRow)]
struct Row {
    id: String,
    secret: String,
    secret_name: String,
    name: String,
    agent: Option<String>,
    skill: Option<String>,
    provider: Option<String>,
    digest: String,
    mode: String,
    hosts: String,
    place: String,
    expires_at: Option<String>,
    max_uses: Option<i64>,
    uses: i64,
    granted_by: String,
    created_at: String,
}

/// A query for grants with the names of the entities that they refer to.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT g.id, g.secret, s.name AS secret_name, g.name, a.name AS agent, g.skill, g.provider, g.digest,
             g.mode, g.hosts, g.place, g.expires_at, g.max_uses, g.uses, g.granted_by, g.created_at
             FROM grants g JOIN secrets s ON s.id = g.secret LEFT JOIN agents a ON a.key = g.agent ",
            $rest
        )
    };
}

/// Inserts a grant. `agent` is the owner of the skill, if a skill holds the grant.
pub async fn insert(tx: &mut Tx, agent: Option<AgentKey>, grant: &Grant) -> Result<()> {
    let sql = "INSERT INTO grants (id, secret, name, agent, skill, provider, digest, mode, hosts, place, expires_at,
               max_uses, granted_by, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(sql)
        .bind(grant.id.as_str())
        .bind(grant.secret_id.as_str())
        .bind(grant.name.as_str())
        .bind(agent.map(|key| key.0))
        .bind(grant.skill_id.as_ref().map(Name::as_str))
        .bind(grant.provider_id.as_ref().map(Name::as_str))
        .bind(grant.digest.as_str())
        .bind(grant.mode.as_str())
        .bind(to_json(&grant.hosts)?)
        .bind(&grant.place)
        .bind(&grant.expires_at)
        .bind(grant.max_uses)
        .bind(&grant.granted_by)
        .bind(&grant.created_at)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub async fn set_hosts(tx: &mut Tx, id: &GrantId, hosts: &[String]) -> Result<()> {
    let sql = "UPDATE grants SET hosts = ? WHERE id = ?";
    sqlx::query(sql).bind(to_json(&hosts)?).bind(id.as_str()).execute(&mut **tx).await?;
    Ok(())
}

/// Counts one use. Returns `false` if the grant has expired or has no uses left.
pub async fn spend(tx: &mut Tx, id: &GrantId) -> Result<bool> {
    let sql = "UPDATE grants SET uses = uses + 1
               WHERE id = ? AND (max_uses IS NULL OR uses < max_uses) AND (expires_at IS NULL OR expires_at > ?)";
    let now = tx.now();
    Ok(sqlx::query(sql).bind(id.as_str()).bind(now).execute(&mut **tx).await?.rows_affected() == 1)
}

pub async fn delete(tx: &mut Tx, id: &GrantId) -> Result<()> {
    sqlx::query("DELETE FROM grants WHERE id = ?").bind(id.as_str()).execute(&mut **tx).await?;
    Ok(())
}

pub async fn get(db: &mut Db, id: &GrantId) -> Result<Grant> {
    let row: Option<Row> = sqlx::query_as(select!("WHERE g.id = ?")).bind(id.as_str()).fetch_optional(db).await?;
    row.ok_or_else(|| Error::not_found("grant", id))?.try_into()
}

/// Returns a page of grants, oldest first.
pub async fn list(db: &mut Db, page: &PageRequest) -> Result<Vec<Grant>> {
    let sql = select!("WHERE g.id > ? ORDER BY g.id LIMIT ?");
    let rows: Vec<Row> = sqlx::query_as(sql).bind(page.after()).bind(page.rows()).fetch_all(db).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Returns all grants of a holder for one component, including expired and used-up grants.
pub async fn of(db: &mut Db, holder: &Holder, digest: &Digest) -> Result<Vec<Grant>> {
    let rows: Vec<Row> = match holder {
        Holder::Skill(agent, skill) => {
            sqlx::query_as(select!("WHERE g.agent = ? AND g.skill = ? AND g.digest = ? ORDER BY g.id"))
                .bind(agent.0)
                .bind(skill.as_str())
        }
        Holder::Provider(provider) => {
            sqlx::query_as(select!("WHERE g.provider = ? AND g.digest = ? ORDER BY g.id")).bind(provider.as_str())
        }
    }
    .bind(digest.as_str())
    .fetch_all(db)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Returns all grants of a provider, for any component.
pub async fn of_provider(db: &mut Db, provider: &Name) -> Result<Vec<Grant>> {
    let sql = select!("WHERE g.provider = ? ORDER BY g.id");
    let rows: Vec<Row> = sqlx::query_as(sql).bind(provider.as_str()).fetch_all(db).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

impl TryFrom<Row> for Grant {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: GrantId::from_db(row.id),
            secret_id: SecretId::from_db(row.secret),
            secret: SecretName::from_db(row.secret_name),
            name: SecretName::from_db(row.name),
            agent_id: row.agent.map(Name::from_db),
            skill_id: row.skill.map(Name::from_db),
            provider_id: row.provider.map(Name::from_db),
            digest: Digest::from_db(row.digest),
            mode: Mode::named(&row.mode).ok_or_else(|| Error::internal("an unknown mode of a grant"))?,
            hosts: from_json(&row.hosts)?,
            place: row.place,
            expires_at: row.expires_at,
            max_uses: row.max_uses,
            uses: row.uses,
            granted_by: row.granted_by,
            created_at: row.created_at,
        })
    }
}
