//! What providers learned of their models from the errors of their services.

use moxxy_types::{
    error::Result,
    installations::{Installation, InstallationKey},
};
use sqlx::FromRow;

use super::{Db, Tx, from_json, to_json};

/// Maximum number of adaptations of a model.
pub const MAX_ADAPTATIONS: usize = 16;
/// Maximum number of models of a provider that are remembered.
const MAX_MODELS: i64 = 1000;

/// What is known of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LearnedModel {
    /// Size of the context window, in tokens.
    pub context_window: Option<u32>,
    pub max_output_tokens: Option<u32>,
    /// Names of the provider's adaptations, in the order in which they were learned.
    pub adaptations: Vec<String>,
}

#[derive(FromRow)]
struct Row {
    context_window: Option<u32>,
    max_output_tokens: Option<u32>,
    adaptations: String,
}

/// Returns what is known of a model.
pub async fn get(db: &mut Db, provider: InstallationKey, model: &str) -> Result<LearnedModel> {
    let sql = "SELECT * FROM learned_models WHERE installation = ? AND model = ?";
    let row: Option<Row> = sqlx::query_as(sql).bind(provider.0).bind(model).fetch_optional(db).await?;
    let Some(row) = row else { return Ok(LearnedModel::default()) };
    let Row { context_window, max_output_tokens, adaptations } = row;
    Ok(LearnedModel { context_window, max_output_tokens, adaptations: from_json(&adaptations)? })
}

/// Adds to what is known of a model. Another run may have learned something meanwhile. Does nothing if the component or
/// the configuration of the provider has changed.
pub async fn put(tx: &mut Tx, provider: &Installation, model: &str, known: &LearnedModel) -> Result<()> {
    let sql =
        "INSERT INTO learned_models (installation, model, context_window, max_output_tokens, adaptations, learned_at)
               SELECT key, ?2, ?3, ?4, ?5, ?6 FROM installations WHERE key = ?1 AND digest = ?7 AND config = ?8
               ON CONFLICT (installation, model) DO UPDATE SET context_window = excluded.context_window,
               max_output_tokens = excluded.max_output_tokens, adaptations = excluded.adaptations,
               learned_at = excluded.learned_at";
    let (now, mut all) = (tx.now(), get(tx, provider.key, model).await?);
    all.adaptations.extend(known.adaptations.iter().cloned());
    let mut adaptations: Vec<&String> = Vec::new();
    for name in &all.adaptations {
        if !adaptations.contains(&name) && adaptations.len() < MAX_ADAPTATIONS {
            adaptations.push(name);
        }
    }
    let least = |one: Option<u32>, other: Option<u32>| [one, other].into_iter().flatten().min();
    sqlx::query(sql)
        .bind(provider.key.0)
        .bind(model)
        .bind(least(all.context_window, known.context_window))
        .bind(least(all.max_output_tokens, known.max_output_tokens))
        .bind(to_json(&adaptations)?)
        .bind(now)
        .bind(provider.component.digest.as_str())
        .bind(to_json(&provider.config)?)
        .execute(&mut **tx)
        .await?;
    let sql = "DELETE FROM learned_models WHERE installation = ?1 AND model IN (SELECT model FROM learned_models
               WHERE installation = ?1 ORDER BY learned_at DESC LIMIT -1 OFFSET ?2)";
    sqlx::query(sql).bind(provider.key.0).bind(MAX_MODELS).execute(&mut **tx).await?;
    Ok(())
}

/// Forgets what is known of the models of a provider, because its component or its configuration changes.
pub async fn forget(tx: &mut Tx, provider: InstallationKey) -> Result<()> {
    sqlx::query("DELETE FROM learned_models WHERE installation = ?").bind(provider.0).execute(&mut **tx).await?;
    Ok(())
}
