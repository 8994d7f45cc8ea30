//! Permits for calls, and the limit on loaded components. Each of these uses memory mappings, which
//! the system limits.

use std::fs;

use moxxy_system::fair_semaphore::FairSemaphore;

use crate::Options;

/// Memory mappings per loaded component.
const MAPPINGS_PER_COMPONENT: u64 = 4;
/// Memory mappings per call.
const MAPPINGS_PER_CALL: u64 = 16;
/// Memory mappings reserved for the rest of the server: database, threads, allocator.
const RESERVED_MAPPINGS: u64 = 2048;

/// Returns the maximum number of loaded components: the configured one, or less if the system's limit on memory
/// mappings requires it. Call it after creating the engine, whose pool has mappings of its own.
pub(crate) fn max_loaded(config: &Options) -> usize {
    let calls = u64::from(config.concurrent_skills) + u64::from(config.concurrent_providers);
    let left = remaining_after(mappings(), RESERVED_MAPPINGS + calls * MAPPINGS_PER_CALL);
    let max = usize::try_from(left / MAPPINGS_PER_COMPONENT).unwrap_or(usize::MAX).max(1);
    if max < config.loaded {
        tracing::warn!(
            configured = config.loaded,
            "the limit on memory mappings (vm.max_map_count) has room for {max} loaded components only; calls of others \
             will load them first"
        );
    }
    config.loaded.min(max)
}

/// Returns permits for calls, any number of which one holder may have.
pub(crate) fn permits(number: u32) -> FairSemaphore<String> {
    FairSemaphore::new(number as usize, number as usize)
}

/// Returns the part of a limit that others leave, but at least a quarter.
fn remaining_after(limit: u64, others: u64) -> u64 {
    limit.saturating_sub(others).max(limit / 4)
}

/// Returns the number of memory mappings that this process may still create.
fn mappings() -> u64 {
    let limit = fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    let limit = limit.and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX);
    let used = fs::read_to_string("/proc/self/maps").map_or(0, |maps| maps.lines().count());
    limit.saturating_sub(used as u64)
}
