//! Permits for calls, and the limit on loaded components. Each of these uses an open file and some memory mappings, and the system limits both.

use std::fs;

use moxxy_system::fair_semaphore::FairSemaphore;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Options;

/// Memory mappings per loaded component.
const MAPPINGS_PER_COMPONENT: u64 = 4;
/// Memory mappings per call.
const MAPPINGS_PER_CALL: u64 = 16;
/// Files and mappings reserved for the rest of the server: database, threads, its own connections.
const RESERVED_FILES: u64 = 256;
const RESERVED_MAPPINGS: u64 = 2048;

/// Returns the maximum number of loaded components: the configured one, or less if the system's limits require
/// it. Call it after creating the engine, whose pool has mappings of its own.
pub(crate) fn max_loaded(config: &Options, connections: usize) -> usize {
    // A component that is evicted during a call stays open until the call ends.
    let calls = u64::from(config.concurrent_skills) + u64::from(config.concurrent_providers);
    let files = remaining_after(open_files(), RESERVED_FILES + calls + connections as u64);
    let mappings = remaining_after(mappings(), RESERVED_MAPPINGS + calls * MAPPINGS_PER_CALL) / MAPPINGS_PER_COMPONENT;
    let limits = [("open files (ulimit -n)", files), ("memory mappings (vm.max_map_count)", mappings)];
    limits.into_iter().fold(config.loaded, |bound, (limit, max)| {
        let max = usize::try_from(max).unwrap_or(usize::MAX).max(1);
        if max < bound {
            tracing::warn!(
                configured = config.loaded,
                "the limit on {limit} has room for {max} loaded components only; calls of others will load them first"
            );
        }
        bound.min(max)
    })
}

/// Returns permits for calls, any number of which one holder may have.
pub(crate) fn permits(number: u32) -> FairSemaphore<String> {
    FairSemaphore::new(number as usize, number as usize)
}

/// Returns the part of a limit that others leave, but at least a quarter.
fn remaining_after(limit: u64, others: u64) -> u64 {
    limit.saturating_sub(others).max(limit / 4)
}

/// Raises the soft limit on open files to the hard limit, and returns it. Most systems set a low soft limit for
/// programs that use select(2).
fn open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    if let Err(error) = raised {
        tracing::debug!(%error, "failed to raise the limit on open files");
        return limit.current.unwrap_or(u64::MAX);
    }
    limit.maximum.unwrap_or(u64::MAX)
}

/// Returns the number of memory mappings that this process may still create.
fn mappings() -> u64 {
    let limit = fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    let limit = limit.and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX);
    let used = fs::read_to_string("/proc/self/maps").map_or(0, |maps| maps.lines().count());
    limit.saturating_sub(used as u64)
}
