//! The limits of a call: the configuration's, or less where the manifest asks for less.

use std::time::Duration;

use super::manifest::LimitRequests;
use crate::config;

#[derive(Debug, Clone)]
pub struct Limits {
    /// Memories and tables together, in bytes.
    pub memory: usize,
    /// Values that cross into the host at once, in bytes.
    pub result: usize,
    pub cpu: Duration,
    pub wall: Duration,
    pub first_token: Duration,
    pub between_tokens: Duration,
}

impl Limits {
    pub fn of_skills(config: &config::Plugins) -> Self {
        Self::new(config, config.skill_cpu, config.skill_wall)
    }

    pub fn of_providers(config: &config::Plugins) -> Self {
        Self::new(config, config.provider_cpu, config.provider_wall)
    }

    pub fn of_descriptions(config: &config::Plugins) -> Self {
        // Waiting is of no use to a description, so its wall-clock time is bounded closely too.
        Self::new(config, config.describe_cpu, config.describe_cpu.saturating_mul(4))
    }

    /// Lowers what the component asks to be lower.
    pub fn asked(mut self, asked: &LimitRequests) -> Self {
        let millis = |asked: Option<u64>| asked.map(Duration::from_millis);
        self.memory = asked.memory.and_then(|m| usize::try_from(m).ok()).map_or(self.memory, |m| m.min(self.memory));
        self.cpu = millis(asked.cpu_time).map_or(self.cpu, |cpu| cpu.min(self.cpu));
        self.wall = millis(asked.wall_time).map_or(self.wall, |wall| wall.min(self.wall));
        self
    }

    fn new(config: &config::Plugins, cpu: u64, wall: u64) -> Self {
        Self {
            memory: config.memory,
            result: config.result,
            cpu: Duration::from_millis(cpu),
            wall: Duration::from_millis(wall),
            first_token: Duration::from_millis(config.first_token),
            between_tokens: Duration::from_millis(config.between_tokens),
        }
    }
}
