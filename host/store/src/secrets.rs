//! Sealed secrets.

use moxxy_types::{
    error::{Error, Result},
    ids::{SecretId, SecretName},
    paging::PageRequest,
    secrets::{SEALING_OVERHEAD_BYTES, Sealed, Secret},
};

use super::{Db, Tx};

/// A query for the metadata of secrets.
macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, name, description, version, created_by, created_at, updated_at FROM secrets ", $rest)
    };
}

pub async fn insert(tx: &mut Tx, secret: &Secret, sealed: &[u8]) -> Result<()> {
    let sql = "INSERT INTO secrets (id, name, description, version, sealed, created_by, created_at, updated_at)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let inserted = sqlx::query(sql)
        .bind(secret.id.as_str())
        .bind(secret.name.as_str())
        .bind(&secret.description)
        .bind(secret.version)
        .bind(sealed)
        .bind(&secret.created_by)
        .bind(&secret.created_at)
        .bind(&secret.updated_at)
        .execute(&mut **tx)
        .await;
    match inserted {
        Err(sqlx::Error::Database(e)) if e.is_unique_violation() => {
            let message = format!("Secret '{}' exists already; PUT gives it another value", secret.name);
            Err(Error::conflict("secret_exists", message))
        }
        other => other.map(drop).map_err(Error::from),
    }
}

pub async fn update(tx: &mut Tx, secret: &Secret, sealed: &[u8]) -> Result<()> {
    sqlx::query("UPDATE secrets SET description = ?, version = ?, sealed = ?, updated_at = ? WHERE id = ?")
        .bind(&secret.description)
        .bind(secret.version)
        .bind(sealed)
        .bind(&secret.updated_at)
        .bind(secret.id.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub async fn delete(tx: &mut Tx, id: &SecretId) -> Result<()> {
    sqlx::query("DELETE FROM secrets WHERE id = ?").bind(id.as_str()).execute(&mut **tx).await?;
    Ok(())
}

pub async fn get(db: &mut Db, id: &SecretId) -> Result<Secret> {
    let row: Option<Secret> = sqlx::query_as(select!("WHERE id = ?")).bind(id.as_str()).fetch_optional(db).await?;
    row.ok_or_else(|| Error::not_found("secret", id))
}

pub async fn get_by_name(db: &mut Db, name: &SecretName) -> Result<Secret> {
    let row: Option<Secret> = sqlx::query_as(select!("WHERE name = ?")).bind(name.as_str()).fetch_optional(db).await?;
    row.ok_or_else(|| Error::not_found("secret", name))
}

/// Returns a page of secrets, oldest first.
pub async fn list(db: &mut Db, page: &PageRequest) -> Result<Vec<Secret>> {
    let sql = select!("WHERE id > ? ORDER BY id LIMIT ?");
    Ok(sqlx::query_as(sql).bind(page.after()).bind(page.rows()).fetch_all(db).await?)
}

/// Returns the sealed values of all secrets.
pub async fn sealed(db: &mut Db) -> Result<Vec<Sealed>> {
    Ok(sqlx::query_as("SELECT id, name, version, sealed AS bytes FROM secrets").fetch_all(db).await?)
}

/// Returns the sealed value of one secret.
pub async fn sealed_one(db: &mut Db, id: &SecretId) -> Result<Sealed> {
    let sql = "SELECT id, name, version, sealed AS bytes FROM secrets WHERE id = ?";
    let row: Option<Sealed> = sqlx::query_as(sql).bind(id.as_str()).fetch_optional(db).await?;
    row.ok_or_else(|| Error::not_found("secret", id))
}

/// Returns the length of a secret's value, in bytes.
pub async fn length(db: &mut Db, id: &SecretId) -> Result<usize> {
    let length: i64 =
        sqlx::query_scalar("SELECT length(sealed) FROM secrets WHERE id = ?").bind(id.as_str()).fetch_one(db).await?;
    Ok(usize::try_from(length).unwrap_or(0).saturating_sub(SEALING_OVERHEAD_BYTES))
}

/// Replaces the sealed value after the master key changed.
pub async fn reseal(tx: &mut Tx, sealed: &Sealed) -> Result<()> {
    sqlx::query("UPDATE secrets SET sealed = ? WHERE id = ?")
        .bind(&sealed.bytes)
        .bind(sealed.id.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Returns the id of the master key that seals all secrets, or `None` before there is one.
pub async fn key_id(db: &mut Db) -> Result<Option<String>> {
    Ok(sqlx::query_scalar("SELECT key_id FROM vault").fetch_optional(db).await?)
}

pub async fn set_key_id(tx: &mut Tx, id: &str) -> Result<()> {
    sqlx::query("INSERT INTO vault (only, key_id) VALUES (1, ?) ON CONFLICT DO UPDATE SET key_id = excluded.key_id")
        .bind(id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
