//! Output for people and for programs. All output for people passes through [`clean`], because it may be
//! untrusted text.

use std::io::{self, IsTerminal as _, Write as _};

use moxxy_system::text::is_hidden;
use serde_json::{Value, value::RawValue};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::{
    client::Answer,
    failure::{CliResult, Failure},
};

/// Maximum width of a table cell, in columns. Longer texts are truncated.
const CELL: usize = 60;

/// Output on stdout and stderr, as text or as JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    pub json: bool,
}

impl Terminal {
    /// Prints an answer of the server: its JSON, or the text that `people` returns.
    pub(crate) fn show(self, answer: &Answer, people: impl FnOnce(&Value) -> String) -> CliResult {
        if self.json { self.document(&answer.text) } else { self.print(&people(&answer.value)) }
    }

    /// Prints a list, or the hint `empty` if there are no items.
    pub(crate) fn list(
        self,
        items: &[Box<RawValue>],
        empty: &str,
        people: impl FnOnce(&[Value]) -> String,
    ) -> CliResult {
        if self.json {
            return self.document(&serde_json::to_string(items).map_err(|e| Failure::from(io::Error::from(e)))?);
        }
        if items.is_empty() {
            self.print_status(empty);
            return Ok(());
        }
        let values: Vec<Value> = items.iter().filter_map(|item| serde_json::from_str(item.get()).ok()).collect();
        self.print(&people(&values))
    }

    /// Prints a JSON document on its own line. Escapes hidden characters, which occur only in strings.
    pub(crate) fn document(self, json: &str) -> CliResult {
        if json.is_empty() {
            return Ok(());
        }
        let mut line = String::with_capacity(json.len() + 1);
        for c in json.chars() {
            match c {
                ' '..='~' | '\n' | '\t' => line.push(c),
                c if is_hidden(c) => {
                    line.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")))
                }
                c => line.push(c),
            }
        }
        line.push('\n');
        write(&line)
    }

    /// Prints text for people on stdout.
    pub(crate) fn print(self, text: &str) -> CliResult {
        write(&clean(text))
    }

    /// Prints a message on stderr.
    pub(crate) fn print_status(self, text: &str) {
        // There is nowhere to report a failure.
        drop(writeln!(io::stderr(), "{}", clean(text)));
    }

    /// Prints a message about a success, unless the output is JSON: a program uses the exit code.
    pub(crate) fn note(self, text: &str) {
        if !self.json {
            self.print_status(text);
        }
    }
}

fn write(text: &str) -> CliResult {
    let mut out = io::stdout().lock();
    Ok(out.write_all(text.as_bytes()).and_then(|()| out.flush())?)
}

/// Returns whether stderr is a terminal.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Removes characters that could change how a terminal shows other text.
pub(crate) fn clean(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !is_hidden(*c)).collect()
}

/// Returns the text as one line of at most `width` columns.
pub(crate) fn line(text: &str, width: usize) -> String {
    let text = clean(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    if text.width() <= width {
        return text;
    }
    let mut used = 1;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= width
    };
    let mut short: String = text.chars().take_while(fits).collect();
    short.push('…');
    short
}

/// Formats rows under headings, with aligned columns.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut lines = vec![headings.map(str::to_owned)];
    lines.extend(rows.into_iter().map(|row| row.map(|cell| line(&cell, CELL))));
    let mut widths = [0; N];
    for cells in &lines {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = cell.width().max(*width);
        }
    }
    let aligned = |cells: &[String; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| pad(cell, width));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    lines.iter().map(aligned).collect()
}

/// Formats names and values in aligned columns. Omits empty values.
pub(crate) fn fields<const N: usize>(fields: [(&str, String); N]) -> String {
    let filled = || fields.iter().filter(|(_, value)| !value.is_empty());
    let width = filled().map(|(name, _)| name.width()).max().unwrap_or(0);
    let margin = " ".repeat(width + 2);
    filled()
        .map(|(name, value)| {
            format!("{}  {}\n", pad(name, width), value.trim_end().replace('\n', &format!("\n{margin}")))
        })
        .collect()
}

fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(missing))
}

/// Returns a member of an object as text; empty if it is absent or null.
pub(crate) fn text(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Returns a member of an object as a list; empty if it is not one.
pub(crate) fn items<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Returns a time formatted for people, in UTC.
pub(crate) fn time(value: &Value, name: &str) -> String {
    let text = text(value, name);
    match text.split_once('T') {
        Some((day, time)) => format!("{day} {}", time.split(['.', 'Z']).next().unwrap_or_default()),
        None => text,
    }
}
