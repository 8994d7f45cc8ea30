//! Hosts that come from a component's configuration.

use moxxy_types::{components::HostRequest, host_port::HostPort};
use serde_json::{Map, Value};

use crate::Target;

/// Returns the host and port that a `config:` host request refers to.
pub fn host_and_port(request: &HostRequest, config: &Map<String, Value>) -> Option<HostPort> {
    let origin = origin(request.host.strip_prefix("config:")?, config)?;
    Some(HostPort { host: origin.host().to_owned(), port: origin.port() })
}

/// Parses the URL in a configuration option.
pub fn origin(option: &str, config: &Map<String, Value>) -> Option<Target> {
    Target::parse(config.get(option)?.as_str()?).ok()
}
