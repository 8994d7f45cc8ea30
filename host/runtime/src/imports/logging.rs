//! `wasi:logging`: log lines for the operator, kept up to a limit. Further lines are only counted.

use moxxy_secrets::Redactor;
use moxxy_types::ids::Name;
use serde::Serialize;

use crate::{
    bindings::imports::wasi::logging::logging::{Host, Level},
    state::CallState,
};

/// Maximum number of lines per call.
const MAX_LINES: usize = 64;
/// Maximum size of the lines of a call, in bytes.
const MAX_LOG_BYTES: usize = 16 * 1024;
/// Additional lines and bytes reserved for errors, which are the most useful.
const EXTRA_ERROR_LINES: usize = 8;
const EXTRA_ERROR_BYTES: usize = 4096;

/// The log of a call.
#[derive(Debug, Clone, Default)]
pub struct Log {
    pub lines: Vec<Line>,
    /// Number of lines beyond the limit.
    pub dropped: u64,
    bytes: usize,
}

#[derive(Debug, Clone, Serialize)]
pub struct Line {
    pub level: &'static str,
    pub context: String,
    pub message: String,
}

impl Host for CallState {
    fn log(&mut self, level: Level, context: String, message: String) -> wasmtime::Result<()> {
        let level = match level {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Critical => "critical",
        };
        self.sent_bytes += context.len() + message.len();
        self.log.push_within_limits(Line { level, context, message });
        Ok(())
    }
}

impl Log {
    /// Writes the lines to the server's own log, for calls without an event that contains them.
    pub fn write(&self, component: &Name) {
        for Line { level, context, message } in &self.lines {
            tracing::info!(%component, level, ?context, ?message, "a component logged");
        }
        if self.dropped > 0 {
            tracing::info!(%component, dropped = self.dropped, "component log truncated");
        }
    }

    pub fn redact(&mut self, redactor: &Redactor) {
        for line in &mut self.lines {
            redactor.replace(&mut line.context);
            redactor.replace(&mut line.message);
        }
    }

    fn push_within_limits(&mut self, line: Line) {
        let bytes = self.bytes.saturating_add(line.context.len()).saturating_add(line.message.len());
        let (extra_lines, extra_bytes) =
            if line.level == "error" { (EXTRA_ERROR_LINES, EXTRA_ERROR_BYTES) } else { (0, 0) };
        if self.lines.len() >= MAX_LINES + extra_lines || bytes > MAX_LOG_BYTES + extra_bytes {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.bytes = bytes;
        self.lines.push(line);
    }
}
