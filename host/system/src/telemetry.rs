//! Logging to standard error.

use std::io::{self, IsTerminal as _};

use moxxy_types::error::{Error, Result};
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// Starts logging with a filter such as `info` or `moxxy=debug`. Call it once, before anything is logged.
pub fn start(filter: &str) -> Result<()> {
    let filter = EnvFilter::try_new(filter).map_err(Error::internal)?;
    let lines = fmt::layer().with_writer(io::stderr).with_target(false);
    // The library itself reads NO_COLOR.
    let lines = if io::stderr().is_terminal() { lines } else { lines.with_ansi(false) };
    tracing_subscriber::registry().with(filter).with(lines).try_init().map_err(Error::internal)
}
