//! Tokens.

use moxxy_types::{
    error::{Error, Result},
    ids::TokenId,
    paging::PageRequest,
    tokens::Token,
};
use sqlx::FromRow;
use subtle::ConstantTimeEq as _;

use super::{Db, Tx, to_json};

#[derive(FromRow)]
struct HashedToken {
    hash: Vec<u8>,
    #[sqlx(flatten)]
    token: Token,
}

pub async fn insert(tx: &mut Tx, token: &Token, hash: &[u8; 32]) -> Result<()> {
    let sql = "INSERT INTO tokens (id, hash, scopes, description, created_at, created_by, expires_at)
               VALUES (?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(sql)
        .bind(token.id.as_str())
        .bind(&hash[..])
        .bind(to_json(&token.scopes)?)
        .bind(&token.description)
        .bind(&token.created_at)
        .bind(&token.created_by)
        .bind(&token.expires_at)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Returns the token with this hash. The index lookup uses a hash that the caller cannot choose, and the final
/// comparison is constant-time.
pub async fn find(db: &mut Db, hash: &[u8; 32]) -> Result<Option<Token>> {
    let row: Option<HashedToken> =
        sqlx::query_as("SELECT * FROM tokens WHERE hash = ?").bind(&hash[..]).fetch_optional(db).await?;
    Ok(row.filter(|row| row.hash.ct_eq(hash).into()).map(|row| row.token))
}

pub async fn get(db: &mut Db, id: &TokenId) -> Result<Token> {
    let row: Option<Token> =
        sqlx::query_as("SELECT * FROM tokens WHERE id = ?").bind(id.as_str()).fetch_optional(db).await?;
    row.ok_or_else(|| Error::not_found("token", id))
}

/// Returns a page of tokens, oldest first.
pub async fn list(db: &mut Db, page: &PageRequest) -> Result<Vec<Token>> {
    let sql = "SELECT * FROM tokens WHERE id > ? ORDER BY id LIMIT ?";
    Ok(sqlx::query_as(sql).bind(page.after()).bind(page.rows()).fetch_all(db).await?)
}

/// Whether a token was ever created.
pub async fn any(db: &mut Db) -> Result<bool> {
    Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM tokens)").fetch_one(db).await?)
}

pub async fn record_use(tx: &mut Tx, id: &TokenId) -> Result<()> {
    let now = tx.now();
    sqlx::query("UPDATE tokens SET last_used_at = ? WHERE id = ?")
        .bind(now)
        .bind(id.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Revokes a token. Returns `false` if it was already revoked.
pub async fn revoke(tx: &mut Tx, id: &TokenId) -> Result<bool> {
    let sql = "UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL";
    let now = tx.now();
    Ok(sqlx::query(sql).bind(now).bind(id.as_str()).execute(&mut **tx).await?.rows_affected() == 1)
}
