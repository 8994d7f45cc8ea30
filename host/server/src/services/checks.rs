//! Conformance checks of installed providers with their configuration.

use moxxy_conformance::{ProtocolProfile, check as check_component};
use moxxy_store as store;
use moxxy_types::{
    checks::Report,
    error::{Error, Result},
    ids::Name,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::services::components::Components;

/// How to check.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "NewProviderCheck")]
pub struct Order {
    /// The wire that it talks: the name of one that the suite has (`openai`, `anthropic`, `ollama`), or the
    /// content of a file that describes another. Known by what the provider asks, if absent.
    pub wire: Option<String>,
}

/// Checks a provider and stores the report.
pub async fn check(components: &Components, id: Name, order: Order) -> Result<Report> {
    let provider = store::installations::provider(&mut *components.store.read().await?, &id).await?;
    let wire = order.wire.as_deref().map(ProtocolProfile::load).transpose()?;
    let busy = |_| Error::unavailable("busy", "Another provider is being checked; try again later");
    let _turn = components.checks.try_acquire().map_err(busy)?;
    let mut report = check_component(&components.plugins, &provider.component, provider.config.clone(), wire).await?;
    report.checked_at = Some(components.store.clock().timestamp());
    let kept = report.clone();
    let put = components
        .store
        .write(move |tx| Box::pin(async move { store::checks::put(tx, &provider, &kept).await }))
        .await?;
    let changed = || Error::conflict("provider_changed", format!("Provider '{id}' was changed while it was checked"));
    if put { Ok(report) } else { Err(changed()) }
}

/// Returns the report of the last check of a provider in its current version and configuration.
pub async fn last(components: &Components, id: &Name) -> Result<Report> {
    let mut db = components.store.read().await?;
    store::installations::provider(&mut db, id).await?;
    store::checks::get(&mut db, id).await
}
