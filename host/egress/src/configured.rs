//! Hosts that the configuration of a component names.

use moxxy_types::{components::HostRequest, peer::Peer};
use serde_json::{Map, Value};

use crate::Target;

/// Where a host of the configuration is.
pub fn place(request: &HostRequest, config: &Map<String, Value>) -> Option<Peer> {
    let origin = origin(request.host.strip_prefix("config:")?, config)?;
    Some(Peer { host: origin.host().to_owned(), port: origin.port() })
}

/// The origin that an option of a configuration names.
pub fn origin(option: &str, config: &Map<String, Value>) -> Option<Target> {
    Target::parse(config.get(option)?.as_str()?).ok()
}
