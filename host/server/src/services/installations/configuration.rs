//! Configuration of installations, as the JSON Schema in their manifest describes it.

use std::collections::BTreeSet;

use moxxy_egress::{Target, configured};
use moxxy_schema as schema;
use moxxy_store::Tx;
use moxxy_types::{
    components::{HostRequest, Manifest},
    error::{Error, InvalidFields, Problem, Result},
    installations::Installation,
    tokens::Principal,
};
use serde_json::{Map, Value};
use url::Url;

use crate::services::{components::Components, grants, permissions};

/// Checks a configuration against the component's schema.
pub(super) async fn check(components: &Components, manifest: &Manifest, config: &Map<String, Value>) -> Result<()> {
    let names_host = |request: &HostRequest| request.host.starts_with("config:");
    if manifest.config_schema.is_none() && !config.is_empty() && !manifest.hosts.iter().any(names_host) {
        return Err(Error::invalid_field("config", "the component has no options; remove it"));
    }
    let wrong = components.plugins.check_config(manifest, Value::Object(config.clone())).await?;
    schema::reject_mismatches("invalid_input", "config", wrong)?;
    check_addresses(manifest, config)
}

/// Checks that the options that name hosts are URLs.
fn check_addresses(manifest: &Manifest, config: &Map<String, Value>) -> Result<()> {
    let mut wrong = InvalidFields::default();
    for option in manifest.hosts.iter().filter_map(|request| request.host.strip_prefix("config:")) {
        let Some(text) = config.get(option).and_then(Value::as_str) else { continue };
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if url.is_some() && text.trim() == text {
            continue;
        }
        let text: String = text.split_whitespace().collect();
        let rest = text.split_once("://").map_or(&*text, |(_, rest)| rest);
        let host = rest.split([':', '/']).next().unwrap_or_default();
        let is_local = host == "localhost" || host.parse::<std::net::Ipv4Addr>().is_ok();
        let scheme = if is_local { "http" } else { "https" };
        let meant = if rest.is_empty() { String::new() } else { format!(", as in {scheme}://{rest}") };
        wrong.push(&format!("config.{option}"), format!("it is a URL that begins with https:// or http://{meant}"));
    }
    wrong.into_result()
}

/// Checks the configuration of an installation against the schema of a component that is to take its place.
pub(super) async fn check_for_upgrade(
    components: &Components,
    manifest: &Manifest,
    config: &Map<String, Value>,
) -> Result<()> {
    check(components, manifest, config).await.map_err(|error| match error {
        Error::Invalid(_, details) => {
            let message = "The configuration does not fit the new version; change it first";
            Error::Conflict(Problem::new("config_does_not_fit", message), details)
        }
        other => other,
    })
}

/// Adds the component's default hosts to a configuration that does not set them.
pub(super) fn with_defaults(manifest: &Manifest, mut config: Map<String, Value>) -> Map<String, Value> {
    for option in manifest.hosts.iter().filter_map(|request| request.host.strip_prefix("config:")) {
        let default =
            manifest.config_schema.as_ref().and_then(|schema| schema.get("properties")?.get(option)?.get("default"));
        if let (false, Some(Value::String(default))) = (config.contains_key(option), default) {
            config.insert(option.to_owned(), Value::String(default.clone()));
        }
    }
    config
}

/// Updates the hosts of grants after the hosts in the configuration changed.
pub(super) async fn retarget_grants(
    tx: &mut Tx,
    principal: &Principal,
    installation: &Installation,
    before: &Map<String, Value>,
) -> Result<()> {
    let options =
        installation.component.manifest.hosts.iter().filter_map(|request| request.host.strip_prefix("config:"));
    for option in options {
        let (from, to) = (configured::origin(option, before), configured::origin(option, &installation.config));
        let same = from.as_ref().zip(to.as_ref()).is_some_and(|(from, to)| to.has_same_origin(from));
        if !same {
            let destination = |origin: Target| permissions::destination(&origin);
            let (from, to) = (from.map(destination), to.map(destination));
            grants::retarget_hosts(tx, principal, (installation.key, &installation.component.digest), from, to).await?;
        }
    }
    Ok(())
}

/// Returns the options that differ.
pub(super) fn changed(old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<String> {
    let options: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    options.into_iter().filter(|option| old.get(*option) != new.get(*option)).cloned().collect()
}
