//! Model lists of providers, as they listed them last.

use moxxy_types::{error::Result, installations::Installation};
use serde::{Serialize, de::DeserializeOwned};

use super::{Db, Tx, from_json, to_json};

/// Stores the list of a provider, unless its component or configuration has changed.
pub async fn put(tx: &mut Tx, provider: &Installation, models: &impl Serialize) -> Result<()> {
    let sql = "INSERT INTO model_lists (installation, digest, config, models, listed_at)
               SELECT key, digest, config, ?, ? FROM installations WHERE key = ? AND digest = ? AND config = ?
               ON CONFLICT (installation) DO UPDATE SET digest = excluded.digest, config = excluded.config,
               models = excluded.models, listed_at = excluded.listed_at";
    let now = tx.now();
    sqlx::query(sql)
        .bind(to_json(models)?)
        .bind(now)
        .bind(provider.key.0)
        .bind(provider.component.digest.as_str())
        .bind(to_json(&provider.config)?)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Returns the list of a provider with this component and configuration.
pub async fn get<T: DeserializeOwned>(db: &mut Db, provider: &Installation) -> Result<Option<Vec<T>>> {
    let sql = "SELECT models FROM model_lists WHERE installation = ? AND digest = ? AND config = ?";
    let models: Option<String> = sqlx::query_scalar(sql)
        .bind(provider.key.0)
        .bind(provider.component.digest.as_str())
        .bind(to_json(&provider.config)?)
        .fetch_optional(db)
        .await?;
    models.as_deref().map(from_json).transpose()
}
