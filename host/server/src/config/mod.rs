//! The configuration: `config.default.toml` is the table of options and their manual, then comes
//! a file, then the environment, then flags. The only module that reads the environment.

mod check;
mod environment;
mod file;
mod format;
mod layers;
mod nearest;
mod price;
mod remote;
mod table;

use std::{net::IpAddr, path::PathBuf};

use ipnet::IpNet;
use moxxy_egress as egress;
use moxxy_runtime as plugins;
use moxxy_types::{
    error::{Error, Result},
    money::Dollars,
};
use serde::Deserialize;

pub use self::{
    layers::{Layers, Setting, Source},
    price::{ModelPrice, UnknownPrice},
    remote::{Remote, token_in},
};

/// Every option; each stands in `config.default.toml`, which says what it is.
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
    pub master_key: Hidden,
}

/// A text that is not shown by `Debug`.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Hidden(String);

impl Hidden {
    /// The text, if there is one.
    pub fn expose(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(&*self.0)
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("hidden")
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
    pub queue: u64,
    pub question_time: i64,
    pub retries: usize,
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

/// What the command line sets.
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
        Self::of(&Layers::read(flags)?)
    }

    /// The defaults on a data directory, for programs that embed the server.
    pub fn at(home: impl Into<PathBuf>) -> Result<Self> {
        Self::of(&Layers::defaults(home.into())?)
    }

    /// What the layers come to, or all that is wrong with them.
    pub fn of(layers: &Layers) -> Result<Self> {
        let mut config = Self::deserialize(layers.values()?).map_err(Error::internal)?;
        config.data.home.clone_from(&layers.home);
        if config.data.cache.as_os_str().is_empty() {
            config.data.cache = config.data.home.join("cache");
        }
        config.warnings.clone_from(&layers.warnings);
        Ok(config)
    }

    /// What works, but is worth a second look.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    /// The most connections at once, to clients and to the outside.
    pub fn connections(&self) -> usize {
        self.server.connections + self.egress.connections
    }

    /// Where the embedded database lies.
    pub fn database(&self) -> PathBuf {
        self.data.home.join("moxxy.db")
    }
}

/// A path that a person wrote: `~/` at its beginning is the home directory.
pub fn expanded(path: PathBuf) -> PathBuf {
    match (path.strip_prefix("~"), etcetera::home_dir()) {
        (Ok(rest), Ok(home)) => home.join(rest),
        _ => path,
    }
}

impl Flags {
    /// The options that they set, as texts.
    fn given(&self) -> impl Iterator<Item = (&'static str, String, &'static str)> {
        let home = self.home.as_ref().map(|home| ("data.home", home.display().to_string(), "--home"));
        let port = self.port.map(|port| ("server.port", port.to_string(), "--port"));
        let listen = self.listen.map(|listen| ("server.listen", listen.to_string(), "--listen"));
        [home, port, listen].into_iter().flatten()
    }
}

impl Server {
    /// How many connections may wait for events, or for the end of a run: others find room, too.
    pub fn waiting(&self) -> usize {
        self.streams.min(self.connections - self.connections / 4)
    }
}
