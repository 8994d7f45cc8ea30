//! Providers.

use moxxy_types::{
    checks::Report,
    error::{Error, Result},
    grants::Holder,
    ids::Name,
    paging::PageRequest,
    providers::Provider,
};
use sqlx::FromRow;

use super::{Db, Tx, components, from_json, grants, to_json};

#[derive(FromRow)]
struct Row {
    id: String,
    config: String,
    accepted: String,
    concurrency: Option<u32>,
    created_at: String,
    updated_at: String,
    report: Option<String>,
    #[sqlx(flatten)]
    component: components::Row,
}

/// A query for providers with their components.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT p.id, p.config, p.accepted, p.concurrency, p.created_at, p.updated_at, c.digest, c.world, c.manifest, c.tools,
             c.imports, c.size, k.report
             FROM providers p JOIN components c ON c.digest = p.digest
             LEFT JOIN provider_checks k ON k.provider = p.id AND k.digest = p.digest AND k.config = p.config ",
            $rest
        )
    };
}

pub async fn insert(tx: &mut Tx, provider: &Provider) -> Result<()> {
    let sql = "INSERT INTO providers (id, digest, config, accepted, concurrency, created_at, updated_at)
               VALUES (?, ?, ?, ?, ?, ?, ?)";
    let inserted = sqlx::query(sql)
        .bind(provider.id.as_str())
        .bind(provider.component.digest.as_str())
        .bind(to_json(&provider.config)?)
        .bind(to_json(&provider.accepted)?)
        .bind(provider.concurrency)
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

pub async fn update(tx: &mut Tx, provider: &Provider) -> Result<()> {
    let sql = "UPDATE providers SET config = ?, accepted = ?, concurrency = ?, updated_at = ? WHERE id = ?";
    let now = tx.now();
    sqlx::query(sql)
        .bind(to_json(&provider.config)?)
        .bind(to_json(&provider.accepted)?)
        .bind(provider.concurrency)
        .bind(now)
        .bind(provider.id.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub async fn delete(tx: &mut Tx, id: &Name) -> Result<()> {
    sqlx::query("DELETE FROM providers WHERE id = ?").bind(id.as_str()).execute(&mut **tx).await?;
    Ok(())
}

pub async fn get(db: &mut Db, id: &Name) -> Result<Provider> {
    let row: Option<Row> = sqlx::query_as(select!("WHERE p.id = ?")).bind(id.as_str()).fetch_optional(&mut *db).await?;
    with_grants(db, row.ok_or_else(|| Error::not_found("provider", id))?.try_into()?).await
}

/// Returns a page of providers, ordered by id.
pub async fn list(db: &mut Db, page: &PageRequest) -> Result<Vec<Provider>> {
    let sql = select!("WHERE p.id > ? ORDER BY p.id LIMIT ?");
    let rows: Vec<Row> = sqlx::query_as(sql).bind(page.after()).bind(page.rows()).fetch_all(&mut *db).await?;
    let mut providers = Vec::with_capacity(rows.len());
    for row in rows {
        providers.push(with_grants(db, row.try_into()?).await?);
    }
    Ok(providers)
}

async fn with_grants(db: &mut Db, mut provider: Provider) -> Result<Provider> {
    if !provider.component.manifest.secrets.is_empty() {
        let holder = Holder::Provider(provider.id.clone());
        provider.grants = grants::list_of_holder(db, &holder, &provider.component.digest).await?;
    }
    Ok(provider)
}

impl TryFrom<Row> for Provider {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: Name::from_db(row.id),
            component: row.component.try_into()?,
            config: from_json(&row.config)?,
            accepted: from_json(&row.accepted)?,
            concurrency: row.concurrency,
            grants: Vec::new(),
            check: row.report.as_deref().map(from_json::<Report>).transpose()?.map(Report::summary),
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}
