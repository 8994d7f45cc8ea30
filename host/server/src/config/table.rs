//! Table of options, parsed from `config.default.toml`, the manual. The comment on each option ends in
//! `# Value: ….`, which describes the allowed values both to readers and to validation.

use moxxy_types::error::{Error, Result};
use toml::{Table, Value};

use super::format::Format;

const MANUAL: &str = include_str!("../../config.default.toml");

/// Specification of an option.
#[derive(Debug, Clone)]
pub struct OptionSpec {
    pub section: String,
    pub key: String,
    /// Allowed values, such as `1 to 3600 seconds`.
    pub allowed: String,
    pub format: Format,
    pub default: Value,
}

impl OptionSpec {
    /// Returns the full name, such as `server.port`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }

    /// Returns the environment variable that sets the option, such as `MOXXY_SERVER_PORT`.
    pub fn variable(&self) -> String {
        format!("MOXXY_{}_{}", self.section, self.key).to_ascii_uppercase()
    }
}

/// Returns all options, in the order of the manual.
pub(super) fn rows() -> Result<Vec<OptionSpec>> {
    let (mut rows, mut section, mut allowed) = (Vec::new(), "", None);
    for line in MANUAL.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        } else if let Some(text) = line.strip_prefix("# Value: ") {
            allowed = Some(text.trim_end_matches('.'));
        } else if !line.is_empty() && !line.starts_with('#') {
            let row = allowed.take().and_then(|allowed| row(section, line, allowed));
            rows.push(row.ok_or_else(|| Error::internal(format!("the manual of the configuration has: {line}")))?);
        }
    }
    Ok(rows)
}

/// Parses one option, or returns `None` if the manual is malformed.
fn row(section: &str, line: &str, allowed: &str) -> Option<OptionSpec> {
    let (key, default) = line.parse::<Table>().ok()?.into_iter().next()?;
    let format = Format::described(allowed)?;
    Some(OptionSpec { section: section.to_owned(), key, allowed: allowed.to_owned(), format, default })
}
