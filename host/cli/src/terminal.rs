//! What people and programs are shown. Everything for people goes through [`clean`], because it may
//! be a stranger's text.

use std::io::{self, IsTerminal as _, Write as _};

use moxxy_system::text::is_hidden;
use serde_json::{Value, value::RawValue};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::{
    client::Answer,
    failure::{CliResult, Failure},
};

/// Longer texts are cut in tables.
const CELL: usize = 60;

/// Stdout and stderr, for people or for programs.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    pub json: bool,
}

impl Terminal {
    /// An answer of the server: as it is, or as people like it.
    pub fn show(self, answer: &Answer, people: impl FnOnce(&Value) -> String) -> CliResult {
        if self.json { self.document(&answer.text) } else { self.print(&people(&answer.value)) }
    }

    /// A list, or what to do when it is empty.
    pub fn list(self, items: &[Box<RawValue>], empty: &str, people: impl FnOnce(&[Value]) -> String) -> CliResult {
        if self.json {
            return self.document(&serde_json::to_string(items).map_err(|e| Failure::from(io::Error::from(e)))?);
        }
        if items.is_empty() {
            self.say(empty);
            return Ok(());
        }
        let values: Vec<Value> = items.iter().filter_map(|item| serde_json::from_str(item.get()).ok()).collect();
        self.print(&people(&values))
    }

    /// A JSON document in a line of its own. Control characters can only be in its strings, where
    /// they may be written in another way.
    pub fn document(self, json: &str) -> CliResult {
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

    /// Text for people, on stdout.
    pub fn print(self, text: &str) -> CliResult {
        write(&clean(text))
    }

    /// What is said beside the result, on stderr.
    pub fn say(self, text: &str) {
        // There is nobody else to tell.
        drop(writeln!(io::stderr(), "{}", clean(text)));
    }

    /// What people are told of a success; a program sees the exit code.
    pub fn note(self, text: &str) {
        if !self.json {
            self.say(text);
        }
    }
}

fn write(text: &str) -> CliResult {
    let mut out = io::stdout().lock();
    Ok(out.write_all(text.as_bytes()).and_then(|()| out.flush())?)
}

/// Whether a person watches what is said.
pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// A text without what could change how a terminal shows other texts.
pub fn clean(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !is_hidden(*c)).collect()
}

/// A text in one line of at most `width` columns.
pub fn line(text: &str, width: usize) -> String {
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

/// Rows under their headings, the columns aligned.
pub fn table<const N: usize>(headings: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
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

/// Names and what they stand for, aligned; what is empty is left out.
pub fn fields<const N: usize>(fields: [(&str, String); N]) -> String {
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

/// A member of an object for people: a text as it is, nothing for what is absent.
pub fn text(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A member of an object that is a list.
pub fn items<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A time as people write it, in UTC.
pub fn time(value: &Value, name: &str) -> String {
    let text = text(value, name);
    match text.split_once('T') {
        Some((day, time)) => format!("{day} {}", time.split(['.', 'Z']).next().unwrap_or_default()),
        None => text,
    }
}
