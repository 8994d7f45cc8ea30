//! The skills of agents.

use sqlx::FromRow;

use super::{AgentKey, Db, Tx, components};
use crate::{
    digest::Digest,
    domain::skills::Skill,
    error::{Error, Result},
    ids::Name,
};

#[derive(FromRow)]
struct Row {
    id: String,
    digest: String,
    created_at: String,
}

pub async fn insert(tx: &mut Tx, agent: AgentKey, id: &Name, digest: &Digest) -> Result<()> {
    let sql = "INSERT INTO skills (agent, id, digest, created_at) VALUES (?, ?, ?, ?)";
    let now = tx.now();
    let inserted =
        sqlx::query(sql).bind(agent.0).bind(id.as_str()).bind(digest.as_str()).bind(now).execute(&mut **tx).await;
    match inserted {
        Err(sqlx::Error::Database(e)) if e.is_unique_violation() => {
            Err(Error::conflict("skill_exists", format!("The agent has a skill '{id}' already; delete it first")))
        }
        other => other.map(drop).map_err(Error::from),
    }
}

pub async fn delete(tx: &mut Tx, agent: AgentKey, id: &Name) -> Result<()> {
    let sql = "DELETE FROM skills WHERE agent = ? AND id = ?";
    let deleted = sqlx::query(sql).bind(agent.0).bind(id.as_str()).execute(&mut **tx).await?;
    if deleted.rows_affected() == 0 { Err(Error::not_found("skill", id)) } else { Ok(()) }
}

pub async fn get(db: &mut Db, agent: AgentKey, id: &Name) -> Result<Skill> {
    let sql = "SELECT id, digest, created_at FROM skills WHERE agent = ? AND id = ?";
    let row: Option<Row> = sqlx::query_as(sql).bind(agent.0).bind(id.as_str()).fetch_optional(&mut *db).await?;
    complete(db, row.ok_or_else(|| Error::not_found("skill", id))?).await
}

/// By id.
pub async fn list(db: &mut Db, agent: AgentKey) -> Result<Vec<Skill>> {
    let sql = "SELECT id, digest, created_at FROM skills WHERE agent = ? ORDER BY id";
    let rows: Vec<Row> = sqlx::query_as(sql).bind(agent.0).fetch_all(&mut *db).await?;
    let mut skills = Vec::with_capacity(rows.len());
    for row in rows {
        skills.push(complete(db, row).await?);
    }
    Ok(skills)
}

async fn complete(db: &mut Db, row: Row) -> Result<Skill> {
    let component = components::get(db, &Digest::stored(row.digest)).await?;
    Ok(Skill { id: Name::stored(row.id), component, created_at: row.created_at })
}
