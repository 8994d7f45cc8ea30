//! Components on the command line: their source, permissions and tools.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use moxxy_egress as egress;
use moxxy_runtime as plugins;
use moxxy_server::services::permissions;
use moxxy_types::ids::Name;
use serde_json::{Value, json};

use super::{
    client::{Call, Upload},
    failure::{CliResult, Failure},
    terminal::{items, text},
};

/// Source of a component.
pub(crate) enum Source {
    /// Name of a component that is bundled with the server.
    Bundled(Name),
    File(Vec<u8>),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Version {
    /// A component's file, or the name of one that comes with the server.
    component: String,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Consent {
    /// Consent to something that it asks for, or to `all`. Can stand more than once.
    #[arg(long, value_name = "NAME|all")]
    accept: Vec<String>,
    /// What the component's digest has to be.
    #[arg(long, value_name = "sha256:…")]
    digest: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Change {
    /// A component's file, or the name of one that comes with the server (default: the one that is there).
    component: Option<String>,
    #[command(flatten)]
    consent: Consent,
    /// Take consent back, by the name it was given by. Can stand more than once, without a component.
    #[arg(long, value_name = "NAME", conflicts_with = "component")]
    revoke: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Secrets {
    /// Secret that the component may use, by the component's name for it. Can be repeated.
    #[arg(long = "secret", value_name = "NAME[=SECRET]")]
    secrets: Vec<String>,
}

impl Secrets {
    pub(crate) fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// Maps the component's names of secrets to the vault's.
    pub(crate) fn to_json(&self) -> Value {
        let named = |text: &String| {
            let (name, secret) = text.split_once('=').unwrap_or((text, text));
            (name.to_owned(), secret.into())
        };
        Value::Object(self.secrets.iter().map(named).collect())
    }
}

impl Version {
    /// Returns the component as it was given.
    pub(crate) fn name(&self) -> &str {
        &self.component
    }

    /// Returns the component and the consent as a JSON body.
    pub(crate) fn to_json(&self) -> CliResult<Value> {
        let component = Source::from_argument(&self.component)?.to_json();
        let accept = accepted(&self.consent.accept);
        Ok(json!({ "component": component, "digest": self.consent.digest, "accept": accept }))
    }

    pub(crate) fn send(self, call: Call) -> CliResult<Call> {
        Ok(Source::from_argument(&self.component)?.send(call, self.consent.digest, self.consent.accept))
    }
}

impl Change {
    pub(crate) fn has_component(&self) -> bool {
        self.component.is_some()
    }

    pub(crate) fn send(self, call: Call) -> CliResult<Call> {
        let Self { component, consent, revoke } = self;
        let Some(component) = component else {
            let accept = accepted(&consent.accept);
            return Ok(call.json(json!({ "digest": consent.digest, "accept": accept, "revoke": revoke })));
        };
        Version { component, consent }.send(call)
    }
}

impl Source {
    /// Reads the file at this path, or takes the value as the name of a bundled component if there is no such
    /// file.
    pub(crate) fn from_argument(component: &str) -> CliResult<Self> {
        let path = Path::new(component);
        if let (false, Ok(name)) = (path.is_file(), Name::try_from(component.to_owned())) {
            return Ok(Self::Bundled(name));
        }
        let unreadable = |e| Failure::usage(format!("Cannot read the component {component}: {e}"));
        Ok(Self::File(fs::read(path).map_err(unreadable)?))
    }

    /// Adds the component to a call of the skills API: an upload, or the name of a bundled component.
    pub(crate) fn send(self, call: Call, digest: Option<String>, accept: Vec<String>) -> Call {
        let name = match self {
            Self::File(component) => return call.upload(Upload { component: component.into(), digest, accept }),
            Self::Bundled(name) => name,
        };
        call.json(json!({ "component": { "bundled": name }, "digest": digest, "accept": accepted(&accept) }))
    }

    /// Returns the component as a member of a JSON body.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Bundled(name) => json!({ "bundled": name }),
            Self::File(component) => json!({ "base64": BASE64.encode(component) }),
        }
    }
}

/// Returns the consent as the API expects it: a list of names, or `all`.
pub(crate) fn accepted(accept: &[String]) -> Value {
    match (accept.iter().any(|name| name == "all"), accept.is_empty()) {
        (true, _) => json!("all"),
        (false, false) => json!(accept),
        (false, true) => Value::Null,
    }
}

/// Returns the `--accept` argument for a requested permission. A request for any host needs a host's name, and a
/// host that is not public needs a port.
pub(crate) fn accept_argument(name: &str) -> String {
    let Some((host, methods)) = name.strip_prefix("host:").and_then(|name| name.split_once(' ')) else {
        return name.to_owned();
    };
    match host {
        plugins::ANY_HOST => format!("host:NAME {methods}"),
        host if egress::is_public(host) => name.to_owned(),
        host => format!("host:{host}:PORT {methods}"),
    }
}

/// Returns the granted permissions: hosts, and secrets with their mode.
pub(crate) fn granted(component: &Value) -> String {
    let Some(granted) = component.get("granted") else { return String::new() };
    let secret = |grant: &Value| {
        let (name, mode) = (text(grant, "name"), text(grant, "mode"));
        format!("secret:{name} ({mode}, {})\n", text(grant, "id"))
    };
    let hosts = names(component, "granted").into_iter().map(|name| format!("{name}\n"));
    hosts.chain(items(granted, "secrets").iter().map(secret)).collect()
}

/// Returns the guarantees: what the component can never do.
pub(crate) fn never(component: &Value) -> String {
    let never = items(component, "never").iter().filter_map(Value::as_str);
    never.map(|sentence| format!("{sentence}\n")).collect()
}

/// Returns the requested permissions, each with whether it was granted.
pub(crate) fn requested_permissions(component: &Value) -> String {
    let missing = names(component, "missing");
    let state = |name: &String| if missing.contains(name) { "missing" } else { "granted" };
    names(component, "asked").iter().map(|name| format!("{name} ({})\n", state(name))).collect()
}

/// Returns the names of the permissions in `list`: `asked`, `granted` or `missing`.
pub(crate) fn names(component: &Value, list: &str) -> Vec<String> {
    let Some(list) = component.get(list) else { return Vec::new() };
    let hosts = items(list, "hosts").iter().filter_map(|host| {
        serde_json::from_value::<moxxy_types::components::HostRequest>(host.clone())
            .ok()
            .map(|host| permissions::host_permission(&host))
    });
    let secrets = items(list, "secrets").iter().filter_map(|secret| {
        serde_json::from_value::<moxxy_types::components::SecretRequest>(secret.clone())
            .ok()
            .map(|secret| permissions::secret_permission(&secret))
    });
    hosts.chain(secrets).collect()
}

/// Returns the tools with their parameters.
pub(crate) fn tools(component: &Value) -> String {
    items(component, "tools").iter().map(tool).collect()
}

fn tool(tool: &Value) -> String {
    let mut shown = format!("{}\n  {}\n", text(tool, "name"), text(tool, "description").replace('\n', "\n  "));
    let Some(parameters) = tool.get("parameters") else { return shown };
    let required = items(parameters, "required");
    for (name, schema) in parameters.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let needed = if required.iter().any(|needed| needed == name.as_str()) { "" } else { ", optional" };
        let about = text(schema, "description").replace('\n', "\n      ");
        shown += &format!("    {name} ({}{needed})  {about}\n", kind(schema));
    }
    shown
}

fn kind(schema: &Value) -> String {
    match schema.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => "any".to_owned(),
    }
}
