//! Grants.

use moxxy_types::{
    digest::Digest,
    error::{Error, Result},
    grants::Grant,
    ids::GrantId,
    installations::InstallationKey,
    paging::PageRequest,
};

use sqlx::FromRow;

use super::{Db, Tx, to_json};

/// A query for grants with the names of the entities that they refer to.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT g.id, g.secret AS secret_id, s.name AS secret, g.name, i.id AS installation_id, a.name AS agent_id,
             CASE i.kind WHEN 'skill' THEN i.name END AS skill_id,
             CASE i.kind WHEN 'provider' THEN i.name END AS provider_id, g.digest,
             g.mode, g.hosts, g.place, g.expires_at, g.max_uses, g.uses, g.granted_by, g.created_at,
             g.installation AS holder
             FROM grants g JOIN secrets s ON s.id = g.secret JOIN installations i ON i.key = g.installation
             LEFT JOIN agents a ON a.key = i.agent ",
            $rest
        )
    };
}

pub async fn insert(tx: &mut Tx, holder: InstallationKey, grant: &Grant) -> Result<()> {
    let sql = "INSERT INTO grants (id, secret, name, installation, digest, mode, hosts, place, expires_at, max_uses,
               granted_by, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(sql)
        .bind(grant.id.as_str())
        .bind(grant.secret_id.as_str())
        .bind(grant.name.as_str())
        .bind(holder.0)
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
    count_change(tx, &grant.id).await
}

/// Counts a change of the installation that has a grant.
async fn count_change(tx: &mut Tx, id: &GrantId) -> Result<()> {
    let sql = "UPDATE installations SET revision = revision + 1
               WHERE key = (SELECT installation FROM grants WHERE id = ?)";
    sqlx::query(sql).bind(id.as_str()).execute(&mut **tx).await?;
    Ok(())
}

pub async fn set_hosts(tx: &mut Tx, id: &GrantId, hosts: &[String]) -> Result<()> {
    let sql = "UPDATE grants SET hosts = ? WHERE id = ?";
    sqlx::query(sql).bind(to_json(&hosts)?).bind(id.as_str()).execute(&mut **tx).await?;
    count_change(tx, id).await
}

/// Counts one use. Returns `false` if the grant has expired or has no uses left.
pub async fn spend(tx: &mut Tx, id: &GrantId) -> Result<bool> {
    let sql = "UPDATE grants SET uses = uses + 1
               WHERE id = ? AND (max_uses IS NULL OR uses < max_uses) AND (expires_at IS NULL OR expires_at > ?)";
    let now = tx.now();
    Ok(sqlx::query(sql).bind(id.as_str()).bind(now).execute(&mut **tx).await?.rows_affected() == 1)
}

pub async fn delete(tx: &mut Tx, id: &GrantId) -> Result<()> {
    count_change(tx, id).await?;
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

/// Returns all grants of an installation for one component, including expired and used-up grants.
pub async fn list_of_holder(db: &mut Db, holder: InstallationKey, digest: &Digest) -> Result<Vec<Grant>> {
    let sql = select!("WHERE g.installation = ? AND g.digest = ? ORDER BY g.id");
    Ok(sqlx::query_as(sql).bind(holder.0).bind(digest.as_str()).fetch_all(db).await?)
}

/// Returns all grants of an installation, for any component.
pub async fn of_installation(db: &mut Db, holder: InstallationKey) -> Result<Vec<Grant>> {
    Ok(sqlx::query_as(select!("WHERE g.installation = ? ORDER BY g.id")).bind(holder.0).fetch_all(db).await?)
}

/// Returns all grants of these installations, for any component, with their holders.
pub(super) async fn of_installations(
    db: &mut Db,
    holders: &[InstallationKey],
) -> Result<Vec<(InstallationKey, Grant)>> {
    let keys: Vec<_> = holders.iter().map(|holder| holder.0).collect();
    let sql = select!("WHERE g.installation IN (SELECT value FROM json_each(?)) ORDER BY g.id");
    let rows: Vec<Held> = sqlx::query_as(sql).bind(to_json(&keys)?).fetch_all(db).await?;
    Ok(rows.into_iter().map(|row| (row.holder, row.grant)).collect())
}

#[derive(FromRow)]
struct Held {
    holder: InstallationKey,
    #[sqlx(flatten)]
    grant: Grant,
}
