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
const SCHEMA: usize = 64 * 1024;
/// Maximum number of tools of a skill.
const TOOLS: usize = 128;

/// Validates a manifest. The error is a sentence for its author.
pub(super) fn manifest(guest: guest::Manifest) -> Result<Manifest, String> {
    let name = Name::try_from(guest.name.clone())
        .map_err(|_| format!("its name {:?} is not 1 to 64 of a-z, 0-9 and -", short(&guest.name)))?;
    bounded("its version", &guest.version, 64)?;
    permission_requests::text("its version", &guest.version)?;
    permission_requests::text("its description", &guest.description)?;
    let limits = &guest.limits;
    if [limits.memory, limits.cpu_time, limits.wall_time].contains(&Some(0)) {
        return Err("it asks for a limit of 0, under which no call could run".into());
    }
    let config_schema = guest.config_schema.map(|text| schema("its configuration", &text)).transpose()?;
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
    if guest.is_empty() || guest.len() > TOOLS {
        return Err(format!("it lists {} tools; a skill has 1 to {TOOLS}", guest.len()));
    }
    let mut checked: Vec<Tool> = Vec::with_capacity(guest.len());
    for tool in guest {
        label("a tool", &tool.name)?;
        if checked.iter().any(|other| other.name == tool.name) {
            return Err(format!("it lists the tool {:?} twice", tool.name));
        }
        permission_requests::text(&format!("the description of the tool {:?}", tool.name), &tool.description)?;
        let parameters = schema(&format!("the parameters of the tool {:?}", tool.name), &tool.parameters)?;
        let hints = Hints {
            read_only: tool.hints.read_only,
            idempotent: tool.hints.idempotent,
            wants_approval: tool.hints.wants_approval,
        };
        checked.push(Tool { name: tool.name, description: tool.description, parameters, hints });
    }
    Ok(checked)
}

pub(super) fn bounded(what: &str, text: &str, limit: usize) -> Result<(), String> {
    match text.len() {
        1.. if text.len() <= limit => Ok(()),
        0 => Err(format!("{what} is empty")),
        length => Err(format!("{what} has {length} bytes; the limit is {limit}")),
    }
}

pub(super) fn label(what: &str, name: &str) -> Result<(), String> {
    let characters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if characters && (1..=64).contains(&name.len()) {
        return Ok(());
    }
    Err(format!("the name of {what}, {:?}, is not 1 to 64 of A-Z, a-z, 0-9, _ and -", short(name)))
}

fn schema(what: &str, text: &str) -> Result<Value, String> {
    bounded(what, text, SCHEMA)?;
    let schema: Value = serde_json::from_str(text).map_err(|e| format!("{what} are not a JSON Schema: {e}"))?;
    if !json::is_shallow(&schema) {
        return Err(format!("{what} nest more than {} levels deep", json::DEPTH));
    }
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return Err(format!("{what} need a JSON Schema with \"type\": \"object\""));
    }
    schemas::check(&schema).map_err(|why| format!("{what} are not a JSON Schema: {why}"))?;
    Ok(schema)
}

pub(super) fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

impl From<guest::LimitRequests> for LimitRequests {
    fn from(guest: guest::LimitRequests) -> Self {
        Self { memory: guest.memory, cpu_time: guest.cpu_time, wall_time: guest.wall_time }
    }
}
