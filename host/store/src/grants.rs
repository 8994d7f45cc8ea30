//! Grants.

use moxxy_types::{
    agents::AgentKey,
    digest::Digest,
    error::{Error, Result},
    grants::{Grant, Holder},
    ids::{GrantId, Name},
    paging::PageRequest,
};

use super::{Db, Tx, to_json};

/// A query for grants with the names of the entities that they refer to.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT g.id, g.secret AS secret_id, s.name AS secret, g.name, a.name AS agent_id, g.skill AS skill_id,
             g.provider AS provider_id, g.digest,
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
        .bind(grant.mode)
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
    let row: Option<Grant> = sqlx::query_as(select!("WHERE g.id = ?")).bind(id.as_str()).fetch_optional(db).await?;
    row.ok_or_else(|| Error::not_found("grant", id))
}

/// Returns a page of grants, oldest first.
pub async fn list(db: &mut Db, page: &PageRequest) -> Result<Vec<Grant>> {
    let sql = select!("WHERE g.id > ? ORDER BY g.id LIMIT ?");
    Ok(sqlx::query_as(sql).bind(page.after()).bind(page.rows()).fetch_all(db).await?)
}

/// Returns all grants of a holder for one component, including expired and used-up grants.
pub async fn list_of_holder(db: &mut Db, holder: &Holder, digest: &Digest) -> Result<Vec<Grant>> {
    Ok(match holder {
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
    .await?)
}

/// Returns all grants of an agent's skills, for any component.
pub async fn of_skills(db: &mut Db, agent: AgentKey) -> Result<Vec<Grant>> {
    Ok(sqlx::query_as(select!("WHERE g.agent = ? ORDER BY g.id")).bind(agent.0).fetch_all(db).await?)
}

/// Returns all grants of a provider, for any component.
pub async fn of_provider(db: &mut Db, provider: &Name) -> Result<Vec<Grant>> {
    let sql = select!("WHERE g.provider = ? ORDER BY g.id");
    Ok(sqlx::query_as(sql).bind(provider.as_str()).fetch_all(db).await?)
}
