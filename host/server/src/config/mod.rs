//! The configuration. `config.default.toml` defines, documents and sets the default of every option; a file, the
//! environment and flags override it, in this order. No other module reads the environment.

mod check;
mod environment;
mod file;
mod format;
mod layers;
mod open_files;
mod price;
mod remote;
mod suggest;
mod table;

use std::{net::IpAddr, path::PathBuf};

use ipnet::IpNet;
use moxxy_egress as egress;
use moxxy_runtime as plugins;
use moxxy_types::{
    error::{Error, Result},
    money::Dollars,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

pub use self::{
    layers::{Layers, Setting, Source},
    price::{ModelPrice, UnknownPrice},
    remote::{Remote, token_in},
};

/// Every option. `config.default.toml` documents each of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub rate_limit: RateLimitConfig,
    pub data: Data,
    pub log: Log,
    pub plugins: plugins::Options,
    pub egress: egress::Options,
    pub audit: Audit,
    pub events: Events,
    pub runs: Runs,
    pub providers: Providers,
    pub prices: Prices,
    #[serde(skip)]
    warnings: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub listen: IpAddr,
    pub port: u16,
    pub loopback: bool,
    pub tls_certificate: PathBuf,
    pub tls_key: PathBuf,
    pub origins: Vec<String>,
    pub trusted_proxies: Vec<IpNet>,
    pub connections: usize,
    pub streams: usize,
    pub header_time: u64,
    pub body_pause: u64,
    pub body_time: u64,
    pub write_pause: u64,
    pub body_limit: usize,
    pub upload_limit: usize,
    pub shutdown_grace: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimitConfig {
    pub per_second: u32,
    pub burst: u32,
    pub failures_per_minute: u32,
    pub failures_burst: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    pub home: PathBuf,
    pub cache: PathBuf,
    pub master_key: SecretString,
}

impl Data {
    /// Returns the configured master key, if any.
    pub fn configured_key(&self) -> Option<&str> {
        Some(self.master_key.expose_secret()).filter(|key| !key.is_empty())
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub filter: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    pub keep_days: i64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    pub keep_days: i64,
    pub keep_events: i64,
    pub keep_bytes: i64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runs {
    pub max_steps: u32,
    pub max_tokens: u64,
    pub max_seconds: u64,
    pub max_tool_calls: u32,
    pub max_cost: Dollars,
    pub max_tokens_per_day: u64,
    pub max_cost_per_day: Dollars,
    pub max_output_tokens: u32,
    pub concurrent_sessions: usize,
    pub concurrent_chats: usize,
    pub queue: u64,
    pub question_time: i64,
    pub return_time: u64,
    pub retries: usize,
    pub keep_days: i64,
    pub keep_bytes: i64,
    pub keep_chat_days: i64,
    pub keep_chat_bytes: i64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Providers {
    pub concurrency: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    pub models: Vec<ModelPrice>,
    pub unknown: UnknownPrice,
}

/// Options that the command line sets.
#[derive(Debug, Default, Clone)]
pub struct Flags {
    pub file: Option<PathBuf>,
    pub home: Option<PathBuf>,
    pub port: Option<u16>,
    pub listen: Option<IpAddr>,
}

impl Config {
    /// Reads all layers and checks the result.
    pub fn load(flags: &Flags) -> Result<Self> {
        Self::from_layers(&Layers::read(flags)?)
    }

    /// Returns the defaults for a data directory, for programs that embed the server.
    pub fn at(home: impl Into<PathBuf>) -> Result<Self> {
        Self::from_layers(&Layers::defaults(home.into())?)
    }

    /// Builds the configuration from its layers, or returns an error that lists all problems.
    pub fn from_layers(layers: &Layers) -> Result<Self> {
        let mut config = Self::deserialize(layers.values()?).map_err(Error::internal)?;
        config.data.home.clone_from(&layers.home);
        if config.data.cache.as_os_str().is_empty() {
            config.data.cache = config.data.home.join("cache");
        }
        config.warnings.clone_from(&layers.warnings);
        Ok(config)
    }

    /// Returns warnings about a configuration that is valid but questionable.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    /// Returns the path of the embedded database.
    pub fn database(&self) -> PathBuf {
        self.data.home.join("moxxy.db")
    }
}

/// Expands `~/` at the start of a path to the home directory.
pub fn expanded(path: PathBuf) -> PathBuf {
    match (path.strip_prefix("~"), etcetera::home_dir()) {
        (Ok(rest), Ok(home)) => home.join(rest),
        _ => path,
    }
}

impl Flags {
    /// Returns option, text and flag name of each flag that is set.
    fn overrides(&self) -> impl Iterator<Item = (&'static str, String, &'static str)> {
        let home = self.home.as_ref().map(|home| ("data.home", home.display().to_string(), "--home"));
        let port = self.port.map(|port| ("server.port", port.to_string(), "--port"));
        let listen = self.listen.map(|listen| ("server.listen", listen.to_string(), "--listen"));
        [home, port, listen].into_iter().flatten()
    }
}

impl Server {
    /// Returns how many connections may wait for events or for the end of a run. A quarter of the connections is
    /// reserved for other requests.
    pub fn waiting(&self) -> usize {
        self.streams.min(self.connections - self.connections / 4)
    }
}
