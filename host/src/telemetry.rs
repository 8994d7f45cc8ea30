//! The log: lines on standard error.

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

use crate::{
    config::Log,
    error::{Error, Result},
};

/// Starts logging. To be called once, before anything is logged.
pub fn start(log: &Log) -> Result<()> {
    let filter = EnvFilter::try_new(&log.filter).map_err(Error::internal)?;
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
    tracing_subscriber::registry().with(filter).with(lines).try_init().map_err(Error::internal)
}
