//! Descriptions of components, recorded at installation and identified by digest.

use std::collections::HashSet;

use moxxy_types::{
    components::{Description, World},
    digest::Digest,
    error::{Error, Result},
};
use sqlx::FromRow;

use super::{Db, Tx, from_json, to_json};

#[derive(FromRow)]
pub(super) struct Row {
    digest: String,
    world: World,
    manifest: String,
    tools: String,
    imports: Option<String>,
    size: i64,
}

/// Inserts a description. An existing one stays unchanged.
pub async fn insert(tx: &mut Tx, component: &Description) -> Result<()> {
    let sql = "INSERT INTO components (digest, world, manifest, tools, imports, size, created_at)
               VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
    sqlx::query(sql)
        .bind(component.digest.as_str())
        .bind(component.world)
        .bind(to_json(&component.manifest)?)
        .bind(to_json(&component.tools)?)
        .bind(component.imports.as_ref().map(to_json).transpose()?)
        .bind(i64::try_from(component.size).map_err(Error::internal)?)
        .bind(tx.now())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Returns the descriptions of all components.
pub async fn list(db: &mut Db) -> Result<Vec<Description>> {
    let rows: Vec<Row> = sqlx::query_as("SELECT * FROM components ORDER BY digest").fetch_all(db).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Returns the number of components.
pub async fn count(db: &mut Db) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT COUNT(*) FROM components").fetch_one(db).await?)
}

/// Deletes components that nothing uses and returns the digests of the others.
pub async fn delete_unused(tx: &mut Tx) -> Result<HashSet<Digest>> {
    let sql = "DELETE FROM components WHERE digest NOT IN (SELECT digest FROM installations)
               AND digest NOT IN (SELECT previous FROM installations WHERE previous IS NOT NULL)";
    sqlx::query(sql).execute(&mut **tx).await?;
    digests(tx).await
}

/// Returns the digests of all components.
pub async fn digests(db: &mut Db) -> Result<HashSet<Digest>> {
    let digests: Vec<String> = sqlx::query_scalar("SELECT digest FROM components").fetch_all(db).await?;
    Ok(digests.into_iter().map(Digest::from_db).collect())
}

impl TryFrom<Row> for Description {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            digest: Digest::from_db(row.digest),
            world: row.world,
            manifest: from_json(&row.manifest)?,
            tools: from_json(&row.tools)?,
            imports: row.imports.as_deref().map(from_json).transpose()?,
            size: usize::try_from(row.size).map_err(Error::internal)?,
        })
    }
}
