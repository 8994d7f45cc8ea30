//! Providers.

use sqlx::FromRow;

use super::{Db, Tx, components, from_json, to_json};
use crate::{
    digest::Digest,
    domain::providers::Provider,
    error::{Error, Result},
    ids::Name,
};

#[derive(FromRow)]
struct Row {
    id: String,
    digest: String,
    config: String,
    created_at: String,
    updated_at: String,
}

pub async fn insert(tx: &mut Tx, provider: &Provider) -> Result<()> {
    let sql = "INSERT INTO providers (id, digest, config, created_at, updated_at) VALUES (?, ?, ?, ?, ?)";
    let inserted = sqlx::query(sql)
        .bind(provider.id.as_str())
        .bind(provider.component.digest.as_str())
        .bind(to_json(&provider.config)?)
        .bind(&provider.created_at)
        .bind(&provider.updated_at)
        .execute(&mut **tx)
        .await;
    match inserted {
        Err(sqlx::Error::Database(e)) if e.is_unique_violation() => {
            Err(Error::conflict("provider_exists", format!("Provider '{}' exists already", provider.id)))
        }
        other => other.map(drop).map_err(Error::from),
    }
}

pub async fn update_config(tx: &mut Tx, provider: &Provider) -> Result<()> {
    let sql = "UPDATE providers SET config = ?, updated_at = ? WHERE id = ?";
    let now = tx.now();
    sqlx::query(sql).bind(to_json(&provider.config)?).bind(now).bind(provider.id.as_str()).execute(&mut **tx).await?;
    Ok(())
}

pub async fn delete(tx: &mut Tx, id: &Name) -> Result<()> {
    sqlx::query("DELETE FROM providers WHERE id = ?").bind(id.as_str()).execute(&mut **tx).await?;
    Ok(())
}

pub async fn get(db: &mut Db, id: &Name) -> Result<Provider> {
    let sql = "SELECT * FROM providers WHERE id = ?";
    let row: Option<Row> = sqlx::query_as(sql).bind(id.as_str()).fetch_optional(&mut *db).await?;
    complete(db, row.ok_or_else(|| Error::not_found("provider", id))?).await
}

/// By id.
pub async fn list(db: &mut Db) -> Result<Vec<Provider>> {
    let rows: Vec<Row> = sqlx::query_as("SELECT * FROM providers ORDER BY id").fetch_all(&mut *db).await?;
    let mut providers = Vec::with_capacity(rows.len());
    for row in rows {
        providers.push(complete(db, row).await?);
    }
    Ok(providers)
}

async fn complete(db: &mut Db, row: Row) -> Result<Provider> {
    let component = components::get(db, &Digest::stored(row.digest)).await?;
    Ok(Provider {
        id: Name::stored(row.id),
        component,
        config: from_json(&row.config)?,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}
