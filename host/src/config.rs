//! The configuration: `config.default.toml` is the table of options and their manual, then comes
//! a file, then the environment, then flags. The only module that reads the environment.

use std::{net::IpAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use etcetera::BaseStrategy as _;
use figment::{
    Figment,
    providers::{Env, Format as _, Serialized, Toml},
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

const DEFAULTS: &str = include_str!("../config.default.toml");
const SECTIONS: [&str; 6] = ["server", "rate_limit", "data", "log", "plugins", "runs"];

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub rate_limit: RateLimitConfig,
    pub data: Data,
    pub log: Log,
    pub plugins: Plugins,
    pub runs: Runs,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
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

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimitConfig {
    pub per_second: u32,
    pub burst: u32,
    pub failures_per_minute: u32,
    pub failures_burst: u32,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    pub home: PathBuf,
    pub cache: PathBuf,
    pub master_key: Hidden,
}

/// A text that is not shown by `Debug`.
#[derive(Clone, Default, Deserialize, Serialize)]
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

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub filter: String,
}

/// Times are in milliseconds, but for `compile_cpu`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Plugins {
    pub folders: Vec<PathBuf>,
    pub loaded: usize,
    pub threads: usize,
    pub tick: u64,
    pub concurrent_skills: u32,
    pub concurrent_providers: u32,
    pub admission_wait: u64,
    pub memory: usize,
    pub result: usize,
    pub host_calls: u64,
    pub skill_cpu: u64,
    pub skill_wall: u64,
    pub provider_cpu: u64,
    pub provider_wall: u64,
    pub first_token: u64,
    pub between_tokens: u64,
    pub most_memory: usize,
    pub most_cpu: u64,
    pub most_wall: u64,
    pub describe_cpu: u64,
    pub compile_memory: u64,
    pub compile_cpu: u64,
    /// The `moxxy` binary that compiles; this process's own by default.
    #[serde(skip)]
    pub compiler: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Runs {
    pub max_steps: u32,
    pub max_tokens: u64,
    pub max_seconds: u64,
    pub concurrent_sessions: usize,
    pub queue: u64,
}

/// What the command line sets.
#[derive(Debug, Default, Clone)]
pub struct Flags {
    pub file: Option<PathBuf>,
    pub home: Option<PathBuf>,
    pub port: Option<u16>,
}

impl Config {
    /// Reads all layers and checks the result.
    pub fn load(flags: &Flags) -> Result<Self> {
        let environment = Env::prefixed("MOXXY_").filter_map(|name| option_of_variable(name.as_str()).map(Into::into));
        let home = match &flags.home {
            Some(home) => home.clone(),
            None => home(&Figment::from(Toml::string(DEFAULTS)).merge(environment.clone()))?,
        };
        let file = flags.file.clone().unwrap_or_else(|| home.join("moxxy.toml"));
        if flags.file.is_some() && !file.is_file() {
            let message = format!("The configuration file {} does not exist", file.display());
            return Err(Error::invalid("invalid_configuration", message));
        }
        let mut layers = Figment::from(Toml::string(DEFAULTS)).merge(Toml::file(file)).merge(environment);
        if let Some(port) = flags.port {
            layers = layers.merge(Serialized::default("server.port", port));
        }
        Self::extract(layers, home)
    }

    /// The defaults on a data directory, for programs that embed the server.
    pub fn at(home: impl Into<PathBuf>) -> Result<Self> {
        Self::extract(Figment::from(Toml::string(DEFAULTS)), home.into())
    }

    fn extract(layers: Figment, home: PathBuf) -> Result<Self> {
        let layers = layers.merge(Serialized::default("data.home", home));
        layers.extract::<Self>().map_err(|e| invalid(&e))?.checked()
    }

    fn checked(mut self) -> Result<Self> {
        if self.data.cache.as_os_str().is_empty() {
            self.data.cache = self.data.home.join("cache");
        }
        for (option, value, range) in self.ranges() {
            if !range.contains(&value) {
                let message = format!("`{option}` is {value}; it is {} to {}", range.start(), range.end());
                return Err(Error::invalid("invalid_configuration", message));
            }
        }
        if !self.server.listen.is_loopback() {
            let message = format!(
                "`server.listen` is {}: this version serves loopback addresses only (127.0.0.1 or ::1)",
                self.server.listen
            );
            return Err(Error::invalid("invalid_configuration", message));
        }
        Ok(self)
    }

    /// What each number has to be within.
    fn ranges(&self) -> [(&'static str, u64, RangeInclusive<u64>); 28] {
        const MILLIS: RangeInclusive<u64> = 1..=86_400_000;
        const BYTES: RangeInclusive<u64> = 65_536..=1 << 30;
        let (server, plugins, runs) = (&self.server, &self.plugins, &self.runs);
        [
            ("server.body_limit", server.body_limit as u64, 1024..=1 << 30),
            ("server.upload_limit", server.upload_limit as u64, 1024..=1 << 30),
            ("server.shutdown_grace", server.shutdown_grace, 0..=3600),
            ("plugins.loaded", plugins.loaded as u64, 1..=100_000),
            ("plugins.threads", plugins.threads as u64, 0..=1024),
            ("plugins.tick", plugins.tick, 1..=1000),
            ("plugins.concurrent_skills", plugins.concurrent_skills.into(), 1..=1000),
            ("plugins.concurrent_providers", plugins.concurrent_providers.into(), 1..=1000),
            ("plugins.admission_wait", plugins.admission_wait, MILLIS),
            ("plugins.memory", plugins.memory as u64, BYTES),
            ("plugins.result", plugins.result as u64, BYTES),
            ("plugins.host_calls", plugins.host_calls, 1000..=1 << 40),
            ("plugins.skill_cpu", plugins.skill_cpu, MILLIS),
            ("plugins.skill_wall", plugins.skill_wall, MILLIS),
            ("plugins.provider_cpu", plugins.provider_cpu, MILLIS),
            ("plugins.provider_wall", plugins.provider_wall, MILLIS),
            ("plugins.first_token", plugins.first_token, MILLIS),
            ("plugins.between_tokens", plugins.between_tokens, MILLIS),
            ("plugins.most_memory", plugins.most_memory as u64, BYTES),
            ("plugins.most_cpu", plugins.most_cpu, MILLIS),
            ("plugins.most_wall", plugins.most_wall, MILLIS),
            ("plugins.describe_cpu", plugins.describe_cpu, MILLIS),
            ("plugins.compile_memory", plugins.compile_memory, 1 << 28..=1 << 40),
            ("plugins.compile_cpu", plugins.compile_cpu, 1..=3600),
            ("runs.max_steps", runs.max_steps.into(), 1..=1_000_000),
            ("runs.max_seconds", runs.max_seconds, 1..=31_536_000),
            ("runs.concurrent_sessions", runs.concurrent_sessions as u64, 1..=10_000),
            ("runs.queue", runs.queue, 1..=1_000_000),
        ]
    }

    /// Where the embedded database lies.
    pub fn database(&self) -> PathBuf {
        self.data.home.join("moxxy.db")
    }
}

impl Plugins {
    /// The number of threads that run components.
    pub fn workers(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        if self.threads == 0 { cores.max(2) } else { self.threads }
    }

    pub fn admission_wait(&self) -> Duration {
        Duration::from_millis(self.admission_wait)
    }
}

/// The server that the commands talk to: `MOXXY_URL`, or the local one.
pub fn server_url(port: u16) -> String {
    std::env::var("MOXXY_URL").unwrap_or_else(|_| format!("http://127.0.0.1:{port}"))
}

/// `MOXXY_RUNS_MAX_STEPS` is `runs.max_steps`. Other programs' variables are left alone.
fn option_of_variable(variable: &str) -> Option<String> {
    let variable = variable.to_ascii_lowercase();
    match variable.as_str() {
        "port" => return Some("server.port".into()),
        "loopback" => return Some("server.loopback".into()),
        "home" => return Some("data.home".into()),
        "master_key" => return Some("data.master_key".into()),
        _ => {}
    }
    let (section, option) = variable.split_once('_')?;
    SECTIONS.contains(&section).then(|| format!("{section}.{option}"))
}

fn home(figment: &Figment) -> Result<PathBuf> {
    let home: PathBuf = figment.extract_inner("data.home").map_err(|e| invalid(&e))?;
    if !home.as_os_str().is_empty() {
        return Ok(home);
    }
    let message = "There is no home directory; name a data directory with --home or MOXXY_HOME";
    let base = etcetera::choose_base_strategy().map_err(|_| Error::invalid("invalid_configuration", message))?;
    Ok(base.data_dir().join("moxxy"))
}

fn invalid(error: &figment::Error) -> Error {
    Error::invalid("invalid_configuration", format!("The configuration is wrong: {error}"))
}
