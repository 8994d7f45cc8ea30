//! Lines for the operator: a skill's are among the events, a provider's in the server's log. The
//! model never sees them.
//!
//! At most 64 lines and 16 KiB of each call are kept.
//!
//! ```no_run
//! moxxy_sdk::log::info("import", "read 12 of 14 lines");
//! ```

use crate::bindings::tools::wasi::logging::logging;

pub use logging::Level;

/// Writes a line. `context` says where it comes from.
pub fn log(level: Level, context: &str, message: &str) {
    logging::log(level, context, message);
}

/// Writes a line about the ordinary course of things.
pub fn info(context: &str, message: &str) {
    log(Level::Info, context, message);
}

/// Writes a line about something odd.
pub fn warn(context: &str, message: &str) {
    log(Level::Warn, context, message);
}

/// Writes a line about something that failed.
pub fn error(context: &str, message: &str) {
    log(Level::Error, context, message);
}
