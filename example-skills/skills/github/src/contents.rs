//! What is at a path: the text of a file, or the names in a folder.

use std::io::Read as _;

use moxxy_sdk::{
    http::Response,
    skill::{Error, Output},
};
use serde::Deserialize;

/// How much of a file is returned, in bytes.
pub(crate) const LIMIT: usize = 256 * 1024;

/// What GitHub describes instead of sending it raw.
#[derive(Deserialize)]
#[serde(untagged)]
enum Described {
    Folder(Vec<Entry>),
    Other(Entry),
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

pub(crate) fn output(response: Response, path: &str) -> Result<Output, Error> {
    // A file comes as application/vnd.github.raw+json, also one that is JSON.
    if !response.header("Content-Type").is_some_and(|media_type| media_type.starts_with("application/json")) {
        return file(response, path);
    }
    match response.json()? {
        Described::Folder(entries) => Output::json(&entries.into_iter().map(label).collect::<Vec<_>>()),
        Described::Other(entry) => Err(Error::failed(format!("{path:?} is no file but a {}", entry.kind))),
    }
}

fn label(entry: Entry) -> String {
    if entry.kind == "dir" { format!("{}/", entry.name) } else { entry.name }
}

fn file(response: Response, path: &str) -> Result<Output, Error> {
    let mut bytes = Vec::new();
    response.take(LIMIT as u64 + 1).read_to_end(&mut bytes)?;
    let is_cut = bytes.len() > LIMIT;
    bytes.truncate(end(&bytes));
    let mut text = String::from_utf8(bytes)
        .map_err(|_| Error::failed(format!("{path:?} is no text in UTF-8, and nothing else can be read")))?;
    if is_cut {
        text.push_str(&format!("\n\n[cut off after {} KiB: the file is longer]", LIMIT / 1024));
    }
    Ok(Output::text(text))
}

/// Where to end, at the limit or up to three bytes before it: not within a character.
fn end(bytes: &[u8]) -> usize {
    let end = bytes.len().min(LIMIT);
    let within = |place: usize| bytes.get(place).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000);
    (end.saturating_sub(3)..=end).rev().find(|&place| !within(place)).unwrap_or(end)
}
