//! Validates the manifests and tool lists of components and converts them for storage.

use moxxy_schema as schemas;
use moxxy_system::json;
use moxxy_types::{
    components::{Hints, LimitRequests, Manifest, Tool},
    ids::Name,
};
use serde_json::Value;

use super::bindings::{plugin::exports::moxxy::plugin::plugin as guest, tools::exports::moxxy::plugin::tools};
use crate::permission_requests;

/// Maximum size of a schema, in bytes.
const MAX_SCHEMA_BYTES: usize = 64 * 1024;
/// Maximum number of tools of a skill.
const MAX_TOOLS: usize = 128;

/// Validates a manifest. The error is a sentence for its author.
pub(super) fn manifest(guest: guest::Manifest) -> Result<Manifest, String> {
    let name = Name::try_from(guest.name.clone())
        .map_err(|_| format!("its name {:?} is not 1 to 64 of a-z, 0-9 and -", truncate(&guest.name)))?;
    check_length("its version", &guest.version, 64)?;
    permission_requests::text("its version", &guest.version)?;
    permission_requests::text("its description", &guest.description)?;
    let limits = &guest.limits;
    if [limits.memory, limits.cpu_time, limits.wall_time].contains(&Some(0)) {
        return Err("it asks for a limit of 0, under which no call could run".into());
    }
    let config_schema = guest.config_schema.map(|text| parse_schema("its configuration", &text)).transpose()?;
    Ok(Manifest {
        name,
        version: guest.version,
        description: guest.description,
        hosts: permission_requests::hosts(guest.hosts)?,
        secrets: permission_requests::secrets(guest.secrets)?,
        limits: guest.limits.into(),
        config_schema,
    })
}

/// Validates a list of tools. The error is a sentence for its author.
pub(super) fn tools(guest: Vec<tools::Tool>) -> Result<Vec<Tool>, String> {
    if guest.is_empty() || guest.len() > MAX_TOOLS {
        return Err(format!("it lists {} tools; a skill has 1 to {MAX_TOOLS}", guest.len()));
    }
    let mut checked: Vec<Tool> = Vec::with_capacity(guest.len());
    for tool in guest {
        check_name("a tool", &tool.name)?;
        if checked.iter().any(|other| other.name == tool.name) {
            return Err(format!("it lists the tool {:?} twice", tool.name));
        }
        permission_requests::text(&format!("the description of the tool {:?}", tool.name), &tool.description)?;
        let parameters = parse_schema(&format!("the parameters of the tool {:?}", tool.name), &tool.parameters)?;
        let hints = Hints {
            read_only: tool.hints.read_only,
            idempotent: tool.hints.idempotent,
            requires_approval: tool.hints.requires_approval,
        };
        checked.push(Tool { name: tool.name, description: tool.description, parameters, hints });
    }
    Ok(checked)
}

pub(super) fn check_length(what: &str, text: &str, limit: usize) -> Result<(), String> {
    match text.len() {
        1.. if text.len() <= limit => Ok(()),
        0 => Err(format!("{what} is empty")),
        length => Err(format!("{what} has {length} bytes; the limit is {limit}")),
    }
}

pub(super) fn check_name(what: &str, name: &str) -> Result<(), String> {
    let characters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if characters && (1..=64).contains(&name.len()) {
        return Ok(());
    }
    Err(format!("the name of {what}, {:?}, is not 1 to 64 of A-Z, a-z, 0-9, _ and -", truncate(name)))
}

fn parse_schema(what: &str, text: &str) -> Result<Value, String> {
    check_length(what, text, MAX_SCHEMA_BYTES)?;
    let schema: Value = serde_json::from_str(text).map_err(|e| format!("{what} are not a JSON Schema: {e}"))?;
    if !json::is_shallow(&schema) {
        return Err(format!("{what} nest more than {} levels deep", json::MAX_DEPTH));
    }
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return Err(format!("{what} need a JSON Schema with \"type\": \"object\""));
    }
    schemas::check(&schema).map_err(|why| format!("{what} are not a JSON Schema: {why}"))?;
    Ok(schema)
}

pub(super) fn truncate(text: &str) -> String {
    text.chars().take(80).collect()
}

impl From<guest::LimitRequests> for LimitRequests {
    fn from(guest: guest::LimitRequests) -> Self {
        Self { memory: guest.memory, cpu_time: guest.cpu_time, wall_time: guest.wall_time }
    }
}
