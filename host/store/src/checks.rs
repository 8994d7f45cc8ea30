//! Reports of provider checks.

use moxxy_types::{
    checks::Report,
    error::{Error, Result},
    ids::Name,
    installations::Installation,
};

use super::{Db, Tx, from_json, to_json};

/// Stores a report. Returns `false` if the provider's component or configuration changed since the check.
pub async fn put(tx: &mut Tx, provider: &Installation, report: &Report) -> Result<bool> {
    let sql = "INSERT INTO provider_checks (installation, digest, config, report, checked_at)
               SELECT key, digest, config, ?, ? FROM installations WHERE key = ? AND digest = ? AND config = ?
               ON CONFLICT (installation) DO UPDATE SET digest = excluded.digest, config = excluded.config,
               report = excluded.report, checked_at = excluded.checked_at";
    let now = tx.now();
    let inserted = sqlx::query(sql)
        .bind(to_json(report)?)
        .bind(now)
        .bind(provider.key.0)
        .bind(provider.component.digest.as_str())
        .bind(to_json(&provider.config)?)
        .execute(&mut **tx)
        .await?;
    Ok(inserted.rows_affected() > 0)
}

/// Returns the report for the provider's current component and configuration.
pub async fn get(db: &mut Db, provider: &Name) -> Result<Report> {
    let sql = "SELECT k.report FROM provider_checks k JOIN installations i ON i.key = k.installation
               AND i.digest = k.digest AND i.config = k.config WHERE i.kind = 'provider' AND i.name = ?";
    let report: Option<String> = sqlx::query_scalar(sql).bind(provider.as_str()).fetch_optional(db).await?;
    from_json(&report.ok_or_else(|| Error::not_found("check", provider))?)
}
