//! Tokens.

use moxxy_types::{
    error::{Error, Result},
    ids::TokenId,
    paging::PageRequest,
    tokens::Token,
};
use sqlx::FromRow;
use subtle::ConstantTimeEq as _;

use super::{Db, Tx, from_json, to_json};

#[derive(FromRow)]
struct Row {
    id: String,
    hash: Vec<u8>,
    scopes: String,
    description: Option<String>,
    created_at: String,
    created_by: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    revoked_at: Option<String>,
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
    let row: Option<Row> =
        sqlx::query_as("SELECT * FROM tokens WHERE hash = ?").bind(&hash[..]).fetch_optional(db).await?;
    row.filter(|row| row.hash.ct_eq(hash).into()).map(TryInto::try_into).transpose()
}

pub async fn get(db: &mut Db, id: &TokenId) -> Result<Token> {
    let row: Option<Row> =
        sqlx::query_as("SELECT * FROM tokens WHERE id = ?").bind(id.as_str()).fetch_optional(db).await?;
    row.ok_or_else(|| Error::not_found("token", id))?.try_into()
}

/// Returns a page of tokens, oldest first.
pub async fn list(db: &mut Db, page: &PageRequest) -> Result<Vec<Token>> {
    let sql = "SELECT * FROM tokens WHERE id > ? ORDER BY id LIMIT ?";
    let rows: Vec<Row> = sqlx::query_as(sql).bind(page.after()).bind(page.rows()).fetch_all(db).await?;
    rows.into_iter().map(TryInto::try_into).collect()
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

impl TryFrom<Row> for Token {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: TokenId::from_db(row.id),
            scopes: from_json(&row.scopes)?,
            description: row.description,
            created_at: row.created_at,
            created_by: row.created_by,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
        })
    }
}
