//! The plugin's description of itself, built in one expression.
//!
//! ```
//! use moxxy_sdk::manifest::Manifest;
//! use serde_json::json;
//!
//! let manifest = Manifest::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), "Says what the weather is like.")
//!     .host("api.example.com", &["GET"], "To ask for the weather.")
//!     .secret("api_key", &["api.example.com"], "query:key", "The service wants to know who asks.")
//!     .config_schema(json!({ "type": "object", "properties": { "units": { "enum": ["metric", "imperial"] } } }))
//!     .wall_time(60_000);
//! assert_eq!(manifest.hosts[0].methods, ["GET"]);
//! ```

use serde_json::Value;

pub use crate::bindings::plugin::exports::moxxy::plugin::plugin::{
    HostRequest, LimitRequests, Manifest, SecretRequest,
};

impl Manifest {
    /// A manifest that asks for nothing.
    ///
    /// Cargo knows the first two: `Manifest::new(env!("CARGO_PKG_NAME"),
    /// env!("CARGO_PKG_VERSION"), "What it does.")`.
    ///
    /// ```
    /// # use moxxy_sdk::manifest::Manifest;
    /// let manifest = Manifest::new("weather", "1.0.0", "Says what the weather is like.");
    /// # assert!(manifest.hosts.is_empty());
    /// ```
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

    /// Asks for a host: a name, a suffix (`*.example.com`), `config:NAME`, or `*` for whichever hosts
    /// the operator names. No methods means GET only. The operator reads the reason before consenting.
    ///
    /// ```
    /// # use moxxy_sdk::manifest::Manifest;
    /// let manifest = Manifest::new("weather", "1.0.0", "Says what the weather is like.").host("*.example.com", &[], "To ask for the weather.");
    /// # assert!(manifest.hosts[0].methods.is_empty());
    /// ```
    #[must_use]
    pub fn host(mut self, host: impl Into<String>, methods: &[&str], reason: impl Into<String>) -> Self {
        self.hosts.push(HostRequest { host: host.into(), methods: owned(methods), reason: reason.into() });
        self
    }

    /// Asks for a secret that is sent to these hosts, in this place of the request:
    /// `header:NAME`, `basic`, `path`, `query:NAME` or `body`.
    ///
    /// ```
    /// # use moxxy_sdk::manifest::Manifest;
    /// let manifest = Manifest::new("weather", "1.0.0", "Says what the weather is like.")
    ///     .secret("api_key", &["api.example.com"], "header:X-Api-Key", "The service wants to know who asks.");
    /// # assert_eq!(manifest.secrets[0].place, "header:X-Api-Key");
    /// ```
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
    ///
    /// ```
    /// # use moxxy_sdk::manifest::Manifest;
    /// let manifest = Manifest::new("weather", "1.0.0", "Says what the weather is like.")
    ///     .config_schema(serde_json::json!({ "type": "object", "properties": { "city": { "type": "string" } } }));
    /// # assert!(manifest.config_schema.is_some());
    /// ```
    #[must_use]
    pub fn config_schema(mut self, schema: Value) -> Self {
        self.config_schema = Some(schema.to_string());
        self
    }

    /// Asks for this much memory, in bytes.
    ///
    /// ```
    /// # use moxxy_sdk::manifest::Manifest;
    /// let manifest = Manifest::new("weather", "1.0.0", "Says what the weather is like.").memory(256 << 20);
    /// # assert_eq!(manifest.limits.memory, Some(256 << 20));
    /// ```
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.limits.memory = Some(bytes);
        self
    }

    /// Asks for this much processor time for one call, in milliseconds.
    ///
    /// ```
    /// # use moxxy_sdk::manifest::Manifest;
    /// let manifest = Manifest::new("weather", "1.0.0", "Says what the weather is like.").cpu_time(10_000);
    /// # assert_eq!(manifest.limits.cpu_time, Some(10_000));
    /// ```
    #[must_use]
    pub fn cpu_time(mut self, milliseconds: u64) -> Self {
        self.limits.cpu_time = Some(milliseconds);
        self
    }

    /// Asks for this much time for one call by the clock on the wall, in milliseconds.
    ///
    /// ```
    /// # use moxxy_sdk::manifest::Manifest;
    /// let manifest = Manifest::new("weather", "1.0.0", "Says what the weather is like.").wall_time(60_000);
    /// # assert_eq!(manifest.limits.wall_time, Some(60_000));
    /// ```
    #[must_use]
    pub fn wall_time(mut self, milliseconds: u64) -> Self {
        self.limits.wall_time = Some(milliseconds);
        self
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}
