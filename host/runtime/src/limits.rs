//! Limits of a call: the configured defaults, or the manifest's requests within configured maximums.

use std::time::Duration;

use moxxy_types::components::LimitRequests;

use crate::Options;

/// Wall time that a description may take beyond its processor time, in milliseconds. It waits only to be
/// scheduled.
const DESCRIBE_WAIT_MILLIS: u64 = 5000;

#[derive(Debug, Clone)]
pub struct Limits {
    /// Maximum size of memories and tables together, in bytes.
    pub memory: usize,
    /// Maximum size of values passed to the host at once, in bytes.
    pub result: usize,
    pub host_calls: u64,
    pub cpu: Duration,
    pub wall: Duration,
    pub first_token: Duration,
    pub between_tokens: Duration,
}

impl Limits {
    pub fn of_skills(config: &Options) -> Self {
        Self::new(config, config.skill_cpu, config.skill_wall)
    }

    pub fn of_providers(config: &Options) -> Self {
        Self::new(config, config.provider_cpu, config.provider_wall)
    }

    pub fn of_descriptions(config: &Options) -> Self {
        Self::new(config, config.describe_cpu, config.describe_cpu.saturating_add(DESCRIBE_WAIT_MILLIS))
    }

    /// Applies the component's requests, capped at the configured maximums.
    pub fn with_requests(mut self, requests: &LimitRequests, config: &Options) -> Self {
        let capped = |requested: Option<u64>, max: u64| requested.map(|millis| Duration::from_millis(millis.min(max)));
        if let Some(memory) = requests.memory {
            self.memory = usize::try_from(memory).unwrap_or(usize::MAX).min(config.most_memory);
        }
        self.cpu = capped(requests.cpu_time, config.most_cpu).unwrap_or(self.cpu);
        self.wall = capped(requests.wall_time, config.most_wall).unwrap_or(self.wall);
        self
    }

    fn new(config: &Options, cpu: u64, wall: u64) -> Self {
        Self {
            memory: config.memory,
            result: config.result,
            host_calls: config.host_calls,
            cpu: Duration::from_millis(cpu),
            wall: Duration::from_millis(wall),
            first_token: Duration::from_millis(config.first_token),
            between_tokens: Duration::from_millis(config.between_tokens),
        }
    }
}
