//! Skills of agents.

use moxxy_types::{
    agents::AgentKey,
    digest::Digest,
    error::{Error, Result},
    grants::Holder,
    ids::Name,
    paging::PageRequest,
    permissions::Names,
    skills::Skill,
};
use sqlx::FromRow;

use super::{Db, Tx, components, from_json, grants, to_json};

#[derive(FromRow)]
struct Row {
    id: String,
    accepted: String,
    previous: Option<String>,
    created_at: String,
    #[sqlx(flatten)]
    component: components::Row,
}

/// A query for skills with their components.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT s.id, s.accepted, s.previous, s.created_at, c.digest, c.world, c.manifest, c.tools,
             c.imports, c.size
             FROM skills s JOIN components c ON c.digest = s.digest ",
            $rest
        )
    };
}

pub async fn insert(tx: &mut Tx, agent: AgentKey, id: &Name, digest: &Digest, accepted: &Names) -> Result<()> {
    let sql = "INSERT INTO skills (agent, id, digest, accepted, created_at) VALUES (?, ?, ?, ?, ?)";
    let now = tx.now();
    let query = sqlx::query(sql).bind(agent.0).bind(id.as_str()).bind(digest.as_str());
    match query.bind(to_json(accepted)?).bind(now).execute(&mut **tx).await {
        Err(sqlx::Error::Database(e)) if e.is_unique_violation() => {
            Err(Error::conflict("skill_exists", format!("The agent has a skill '{id}' already; delete it first")))
        }
        other => other.map(drop).map_err(Error::from),
    }
}

/// Returns the time when a skill was installed, or `None` if it is not installed.
pub async fn installed_at(db: &mut Db, agent: AgentKey, id: &Name) -> Result<Option<String>> {
    let sql = "SELECT created_at FROM skills WHERE agent = ? AND id = ?";
    Ok(sqlx::query_scalar(sql).bind(agent.0).bind(id.as_str()).fetch_optional(db).await?)
}

/// Replaces the component of a skill and its accepted permissions. Keeps the old ones as the previous version.
pub async fn replace(tx: &mut Tx, agent: AgentKey, id: &Name, digest: &Digest, accepted: &Names) -> Result<()> {
    let sql = "UPDATE skills SET previous = digest, previous_accepted = accepted, digest = ?, accepted = ?
               WHERE agent = ? AND id = ?";
    let query = sqlx::query(sql).bind(digest.as_str()).bind(to_json(accepted)?);
    query.bind(agent.0).bind(id.as_str()).execute(&mut **tx).await?;
    Ok(())
}

/// Swaps the current component and permissions with the previous ones.
pub async fn swap(tx: &mut Tx, agent: AgentKey, id: &Name) -> Result<()> {
    let sql = "UPDATE skills SET previous = digest, previous_accepted = accepted,
               digest = previous, accepted = previous_accepted WHERE agent = ? AND id = ? AND previous IS NOT NULL";
    sqlx::query(sql).bind(agent.0).bind(id.as_str()).execute(&mut **tx).await?;
    Ok(())
}

/// Records the permissions that the operator accepted.
pub async fn accept(tx: &mut Tx, agent: AgentKey, id: &Name, accepted: &Names) -> Result<()> {
    let sql = "UPDATE skills SET accepted = ? WHERE agent = ? AND id = ?";
    sqlx::query(sql).bind(to_json(accepted)?).bind(agent.0).bind(id.as_str()).execute(&mut **tx).await?;
    Ok(())
}

pub async fn delete(tx: &mut Tx, agent: AgentKey, id: &Name) -> Result<()> {
    let sql = "DELETE FROM skills WHERE agent = ? AND id = ?";
    let deleted = sqlx::query(sql).bind(agent.0).bind(id.as_str()).execute(&mut **tx).await?;
    if deleted.rows_affected() == 0 { Err(Error::not_found("skill", id)) } else { Ok(()) }
}

pub async fn get(db: &mut Db, agent: AgentKey, id: &Name) -> Result<Skill> {
    let sql = select!("WHERE s.agent = ? AND s.id = ?");
    let row: Option<Row> = sqlx::query_as(sql).bind(agent.0).bind(id.as_str()).fetch_optional(&mut *db).await?;
    let skill = row.ok_or_else(|| Error::not_found("skill", id))?.try_into()?;
    with_grants(db, agent, skill).await
}

/// Returns a page of skills, ordered by id.
pub async fn page(db: &mut Db, agent: AgentKey, page: &PageRequest) -> Result<Vec<Skill>> {
    let sql = select!("WHERE s.agent = ? AND s.id > ? ORDER BY s.id LIMIT ?");
    let query = sqlx::query_as(sql).bind(agent.0).bind(page.after()).bind(page.rows());
    let rows: Vec<Row> = query.fetch_all(&mut *db).await?;
    with_all_grants(db, agent, rows).await
}

/// Returns all skills, ordered by id.
pub async fn list(db: &mut Db, agent: AgentKey) -> Result<Vec<Skill>> {
    let sql = select!("WHERE s.agent = ? ORDER BY s.id");
    let rows: Vec<Row> = sqlx::query_as(sql).bind(agent.0).fetch_all(&mut *db).await?;
    with_all_grants(db, agent, rows).await
}

async fn with_all_grants(db: &mut Db, agent: AgentKey, rows: Vec<Row>) -> Result<Vec<Skill>> {
    let mut skills: Vec<Skill> = rows.into_iter().map(TryInto::try_into).collect::<Result<_>>()?;
    // Most skills use no secrets: skip the query.
    if skills.iter().any(|skill| !skill.component.manifest.secrets.is_empty()) {
        for grant in grants::of_skills(db, agent).await? {
            let holds = |skill: &&mut Skill| {
                grant.skill_id.as_ref() == Some(&skill.id) && grant.digest == skill.component.digest
            };
            if let Some(skill) = skills.iter_mut().find(holds) {
                skill.grants.push(grant);
            }
        }
    }
    Ok(skills)
}

async fn with_grants(db: &mut Db, agent: AgentKey, mut skill: Skill) -> Result<Skill> {
    if !skill.component.manifest.secrets.is_empty() {
        let holder = Holder::Skill(agent, skill.id.clone());
        skill.grants = grants::list_of_holder(db, &holder, &skill.component.digest).await?;
    }
    Ok(skill)
}

impl TryFrom<Row> for Skill {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: Name::from_db(row.id),
            component: row.component.try_into()?,
            accepted: from_json(&row.accepted)?,
            grants: Vec::new(),
            previous: row.previous.map(Digest::from_db),
            created_at: row.created_at,
        })
    }
}
