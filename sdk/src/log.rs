//! Lines for the operator: a skill's are among the events, a provider's in the server's log. The
//! model never sees them.
//!
//! At most 64 lines and 16 KiB of each call are kept, and 8 errors and 4 KiB beyond those.
//!
//! ```
//! moxxy_sdk::log::info("import", "read 12 of 14 lines");
//! ```

use crate::{bindings::plugin::wasi::logging::logging, host};

pub use logging::Level;

/// Writes a line. `context` says where it comes from, in your own terms.
///
/// ```
/// use moxxy_sdk::log::{Level, log};
///
/// log(Level::Debug, "import", "line 13 is empty");
/// ```
pub fn log(level: Level, context: &str, message: &str) {
    host::log(level, context, message);
}

/// Writes a line about the ordinary course of things.
///
/// ```
/// moxxy_sdk::log::info("import", "read 12 lines");
/// ```
pub fn info(context: &str, message: &str) {
    log(Level::Info, context, message);
}

/// Writes a line about something odd.
///
/// ```
/// moxxy_sdk::log::warn("import", "2 lines are not UTF-8");
/// ```
pub fn warn(context: &str, message: &str) {
    log(Level::Warn, context, message);
}

/// Writes a line about something that failed.
///
/// ```
/// moxxy_sdk::log::error("import", "the list is cut off");
/// ```
pub fn error(context: &str, message: &str) {
    log(Level::Error, context, message);
}
