//! Options for running components. Times are in milliseconds unless stated otherwise.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
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
    /// The `moxxy` binary that compiles. The default is this process's own.
    #[serde(skip)]
    pub compiler: Option<PathBuf>,
}

impl Options {
    /// The number of threads that run components.
    pub fn workers(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        if self.threads == 0 { cores.max(2) } else { self.threads }
    }

    pub fn admission_wait(&self) -> Duration {
        Duration::from_millis(self.admission_wait)
    }
}
