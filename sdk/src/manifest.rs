//! The plugin's description of itself, built in one expression.

use serde_json::Value;

pub use crate::bindings::plugin::exports::moxxy::plugin::plugin::{
    HostRequest, LimitRequests, Manifest, SecretRequest,
};

impl Manifest {
    /// A manifest that asks for nothing.
    ///
    /// Cargo knows the first two: `Manifest::new(env!("CARGO_PKG_NAME"),
    /// env!("CARGO_PKG_VERSION"), "What it does.")`.
    pub fn new(name: impl Into<String>, version: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            description: description.into(),
            hosts: Vec::new(),
            secrets: Vec::new(),
            limits: LimitRequests { memory: None, cpu_time: None, wall_time: None },
            config_schema: None,
        }
    }

    /// Asks for a host: a name, a suffix (`*.example.com`), or `config:NAME`. No methods means
    /// GET only. The operator reads the reason before consenting.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>, methods: &[&str], reason: impl Into<String>) -> Self {
        self.hosts.push(HostRequest { host: host.into(), methods: owned(methods), reason: reason.into() });
        self
    }

    /// Asks for a secret that is sent to these hosts, in this place of the request:
    /// `header:NAME`, `basic`, `path`, `query:NAME` or `body`.
    #[must_use]
    pub fn secret(
        mut self,
        name: impl Into<String>,
        hosts: &[&str],
        place: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        self.secrets.push(SecretRequest {
            name: name.into(),
            hosts: owned(hosts),
            place: place.into(),
            reason: reason.into(),
        });
        self
    }

    /// Declares the configuration: a JSON Schema of type `object`.
    #[must_use]
    pub fn config_schema(mut self, schema: Value) -> Self {
        self.config_schema = Some(schema.to_string());
        self
    }

    /// Asks for this much memory, in bytes.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.limits.memory = Some(bytes);
        self
    }

    /// Asks for this much processor time for one call, in milliseconds.
    #[must_use]
    pub fn cpu_time(mut self, milliseconds: u64) -> Self {
        self.limits.cpu_time = Some(milliseconds);
        self
    }

    /// Asks for this much time for one call by the clock on the wall, in milliseconds.
    #[must_use]
    pub fn wall_time(mut self, milliseconds: u64) -> Self {
        self.limits.wall_time = Some(milliseconds);
        self
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}
