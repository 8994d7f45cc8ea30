//! Reports of provider checks.

use moxxy_types::{
    checks::Report,
    error::{Error, Result},
    ids::Name,
    providers::Provider,
};

use super::{Db, Tx, from_json, to_json};

/// Stores a report. Returns `false` if the provider's component or configuration changed since the check.
pub async fn put(tx: &mut Tx, provider: &Provider, report: &Report) -> Result<bool> {
    let sql = "INSERT INTO provider_checks (provider, digest, config, report, checked_at)
               SELECT id, digest, config, ?, ? FROM providers WHERE id = ? AND digest = ? AND config = ?
               ON CONFLICT (provider) DO UPDATE SET digest = excluded.digest, config = excluded.config,
               report = excluded.report, checked_at = excluded.checked_at";
    let now = tx.now();
    let inserted = sqlx::query(sql)
        .bind(to_json(report)?)
        .bind(now)
        .bind(provider.id.as_str())
        .bind(provider.component.digest.as_str())
        .bind(to_json(&provider.config)?)
        .execute(&mut **tx)
        .await?;
    Ok(inserted.rows_affected() > 0)
}

/// Returns the report for the provider's current component and configuration.
pub async fn get(db: &mut Db, provider: &Name) -> Result<Report> {
    let sql = "SELECT k.report FROM provider_checks k JOIN providers p
               ON p.id = k.provider AND p.digest = k.digest AND p.config = k.config WHERE p.id = ?";
    let report: Option<String> = sqlx::query_scalar(sql).bind(provider.as_str()).fetch_optional(db).await?;
    from_json(&report.ok_or_else(|| Error::not_found("check", provider))?)
}
