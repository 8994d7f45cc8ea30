//! How many loaded components this process has room for: each takes an open file and some memory
//! mappings, and the system bounds both.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Options;

/// Memory mappings of one loaded component.
const MAPPINGS: u64 = 4;
/// Memory mappings of one call.
const CALL_MAPPINGS: u64 = 16;
/// What the rest of the server needs: the database, threads, connections of its own.
const OTHER_FILES: u64 = 256;
const OTHER_MAPPINGS: u64 = 2048;

/// The bound on loaded components: the configured one, or a lower one where the system has no
/// room for so many. Call it when the engine is there: its pool has mappings of its own.
pub fn bound(config: &Options, connections: usize) -> usize {
    // A component that is dropped while it is called is open until the call ends.
    let calls = u64::from(config.concurrent_skills) + u64::from(config.concurrent_providers);
    let files = left(open_files(), OTHER_FILES + calls + connections as u64);
    let mappings = left(mappings(), OTHER_MAPPINGS + calls * CALL_MAPPINGS) / MAPPINGS;
    let limits = [("open files (ulimit -n)", files), ("memory mappings (vm.max_map_count)", mappings)];
    limits.into_iter().fold(config.loaded, |bound, (limit, room)| {
        let room = usize::try_from(room).unwrap_or(usize::MAX).max(1);
        if room < bound {
            tracing::warn!(
                configured = config.loaded,
                "the limit on {limit} has room for {room} loaded components only; calls of others will load them first"
            );
        }
        bound.min(room)
    })
}

/// What is left of a limit. Where the others would take nearly all of it, they get less.
fn left(limit: u64, others: u64) -> u64 {
    limit.saturating_sub(others).max(limit / 4)
}

/// Raises the limit on open files to what this process may have, and returns it. Most systems
/// start programs with a low one, for the sake of those that use select(2).
fn open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    if let Err(error) = raised {
        tracing::debug!(%error, "the limit on open files stays as it is");
        return limit.current.unwrap_or(u64::MAX);
    }
    limit.maximum.unwrap_or(u64::MAX)
}

/// How many memory mappings this process may still make.
fn mappings() -> u64 {
    let limit = fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    let limit = limit.and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX);
    let used = fs::read_to_string("/proc/self/maps").map_or(0, |maps| maps.lines().count());
    limit.saturating_sub(used as u64)
}
