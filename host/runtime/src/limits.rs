//! The limits of a call: the configuration's, or what the manifest asks for, within bounds.

use std::time::Duration;

use moxxy_types::components::LimitRequests;

use crate::Options;

/// How much longer than its processor time a description may take, in milliseconds: it has nothing
/// to wait for but its turn.
const DESCRIBE_WAIT: u64 = 5000;

#[derive(Debug, Clone)]
pub struct Limits {
    /// Memories and tables together, in bytes.
    pub memory: usize,
    /// Values that cross into the host at once, in bytes.
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
        Self::new(config, config.describe_cpu, config.describe_cpu.saturating_add(DESCRIBE_WAIT))
    }

    /// What the component asks for, up to what the configuration allows, in place of the default.
    pub fn asked(mut self, asked: &LimitRequests, config: &Options) -> Self {
        let within = |asked: Option<u64>, most: u64| asked.map(|asked| Duration::from_millis(asked.min(most)));
        if let Some(memory) = asked.memory {
            self.memory = usize::try_from(memory).unwrap_or(usize::MAX).min(config.most_memory);
        }
        self.cpu = within(asked.cpu_time, config.most_cpu).unwrap_or(self.cpu);
        self.wall = within(asked.wall_time, config.most_wall).unwrap_or(self.wall);
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
