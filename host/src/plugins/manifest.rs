//! What a component says of itself, checked and in the form in which it is kept and shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    bindings::{plugin::exports::moxxy::plugin::plugin as guest, tools::exports::moxxy::plugin::tools},
    requests,
};
use crate::{
    schema as schemas,
    system::json,
    types::{digest::Digest, ids::Name},
};

const SCHEMA: usize = 64 * 1024;
const TOOLS: usize = 128;

/// What a component is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum World {
    Skill,
    Provider,
}

/// Everything that is known of an installed component, frozen by its digest.
#[derive(Debug, Clone, Serialize)]
pub struct Description {
    pub digest: Digest,
    pub world: World,
    pub manifest: Manifest,
    /// A skill's tools; empty for others.
    pub tools: Vec<Tool>,
    /// The interfaces that it imports, without their versions; unknown of one that was installed before
    /// that was kept.
    pub imports: Option<Vec<String>>,
    /// Of the upload, in bytes.
    pub size: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    pub name: Name,
    pub version: String,
    pub description: String,
    pub hosts: Vec<HostRequest>,
    pub secrets: Vec<SecretRequest>,
    pub limits: LimitRequests,
    pub config_schema: Option<Value>,
}

/// A host that a component asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostRequest {
    /// A name (`api.example.com`), a suffix (`*.example.com`), `config:NAME` for the host in that value
    /// of its configuration, or `*` for those that `accept` names.
    pub host: String,
    /// The HTTP methods used there.
    pub methods: Vec<String>,
    /// What for, in its author's words.
    pub reason: String,
}

/// A secret that a component asks for.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SecretRequest {
    /// What the component calls it.
    pub name: String,
    /// Where it is sent to.
    pub hosts: Vec<String>,
    /// Where in a request it stands.
    pub place: String,
    /// What for, in its author's words.
    pub reason: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LimitRequests {
    pub memory: Option<u64>,
    pub cpu_time: Option<u64>,
    pub wall_time: Option<u64>,
}

/// A tool of a skill.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// What it is called by.
    pub name: String,
    /// What it does, as the model is told.
    pub description: String,
    /// The JSON Schema of its arguments.
    pub parameters: Value,
    pub hints: Hints,
}

/// What its author says of a tool.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ToolHints")]
pub struct Hints {
    /// It changes nothing, so it may run beside others.
    pub read_only: bool,
    /// To call it twice does no more than once.
    pub idempotent: bool,
    /// Someone should agree before it is called.
    pub wants_approval: bool,
}

impl World {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skill => "skill",
            Self::Provider => "provider",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        [Self::Skill, Self::Provider].into_iter().find(|world| world.as_str() == name)
    }
}

/// Checks a manifest; the error is a sentence for its author.
pub(super) fn manifest(guest: guest::Manifest) -> Result<Manifest, String> {
    let name = Name::try_from(guest.name.clone())
        .map_err(|_| format!("its name {:?} is not 1 to 64 of a-z, 0-9 and -", short(&guest.name)))?;
    bounded("its version", &guest.version, 64)?;
    requests::text("its version", &guest.version)?;
    requests::text("its description", &guest.description)?;
    let limits = &guest.limits;
    if [limits.memory, limits.cpu_time, limits.wall_time].contains(&Some(0)) {
        return Err("it asks for a limit of 0, under which no call could run".into());
    }
    let config_schema = guest.config_schema.map(|text| schema("its configuration", &text)).transpose()?;
    Ok(Manifest {
        name,
        version: guest.version,
        description: guest.description,
        hosts: requests::hosts(guest.hosts)?,
        secrets: requests::secrets(guest.secrets)?,
        limits: guest.limits.into(),
        config_schema,
    })
}

/// Checks a list of tools; the error is a sentence for their author.
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
        requests::text(&format!("the description of the tool {:?}", tool.name), &tool.description)?;
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
