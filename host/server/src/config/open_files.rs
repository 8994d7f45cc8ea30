//! Division of the system's limit on open files, so that no part of the server takes files from another one.

use moxxy_types::error::{Error, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Files of the database (a writer and eight readers, each with its log), threads, lock, log and compiler.
const RESERVED_FILES: usize = 52;
/// Minimum limit with which the server starts.
const MIN_FILES: usize = 64;

impl Config {
    /// Raises the soft limit on open files to the hard limit, because most systems set a low one for programs that use
    /// select(2). If the limit is too low for the configuration, reduces the numbers of connections and of loaded
    /// components, with a warning: a quarter of what is left is for clients, a quarter for outgoing connections, and half
    /// for components.
    pub fn fit_open_files(&mut self) -> Result<()> {
        let limit = raise();
        if limit < MIN_FILES {
            let message = format!(
                "The limit on open files is {limit}, and the server needs at least {MIN_FILES}: raise it with `ulimit \
                 -n`, or with `LimitNOFILE=` in a systemd unit"
            );
            return Err(Error::conflict("too_few_files", message));
        }
        self.divide(limit);
        Ok(())
    }

    fn divide(&mut self, limit: usize) {
        let wanted = (self.server.connections, self.egress.connections, self.plugins.loaded);
        let calls = (self.plugins.concurrent_skills + self.plugins.concurrent_providers) as usize;
        let rest = limit.saturating_sub(RESERVED_FILES);
        // A component that is evicted during a call stays open until the call ends.
        if rest >= wanted.0 + wanted.1 + wanted.2 + calls {
            return;
        }
        // A new connection briefly takes a second file, to look up its owner.
        self.server.connections = wanted.0.min(rest / 4).max(1);
        self.egress.connections = wanted.1.min(rest / 4).max(1);
        let others = self.server.connections + self.egress.connections;
        let components = rest.saturating_sub(others);
        self.plugins.loaded = wanted.2.min(components.saturating_sub(calls).max(components / 2)).max(1);
        tracing::warn!(
            limit,
            "the limit on open files (ulimit -n) allows {} of {} connections of clients, {} of {} outgoing connections, \
             and {} of {} loaded components",
            self.server.connections,
            wanted.0,
            self.egress.connections,
            wanted.1,
            self.plugins.loaded,
            wanted.2,
        );
    }
}

/// Raises the soft limit to the hard limit, and returns it.
fn raise() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    if let Err(error) = &raised {
        tracing::debug!(%error, "failed to raise the limit on open files");
    }
    let reached = if raised.is_ok() { limit.maximum } else { limit.current };
    reached.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX)
}
