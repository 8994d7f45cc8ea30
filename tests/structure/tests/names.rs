//! Checks that nothing is defined under a replaced name, as listed in `tests/it/names.txt`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::{
    fs,
    path::{Path, PathBuf},
};

const NAMES: &str = include_str!("../../it/names.txt");

fn rust_files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let entries = entries.map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Returns whether a line of code defines a name.
fn defines(line: &str, kind: &str, name: &str) -> bool {
    let keywords: &[&str] = match kind {
        "type" => &["struct", "enum", "trait", "type", "union"],
        "fn" => &["fn"],
        "const" => &["const", "static"],
        other => panic!("{other} is no kind of a name"),
    };
    let words: Vec<_> =
        line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
    let comment = line.trim_start().starts_with("//");
    !comment
        && words.windows(2).any(|pair| matches!(pair, [keyword, word] if keywords.contains(keyword) && *word == name))
}

#[test]
fn replaced_names_do_not_come_back() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    for row in NAMES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let columns: Vec<_> = row.split_whitespace().collect();
        let [path, kind, old, new] = columns[..] else {
            panic!("a row has a path, a kind, an old and a new name: {row}")
        };
        for file in rust_files(&root.join(path.trim_end_matches("/**"))) {
            let is_back = match kind {
                "file" => file.ends_with(old),
                _ => fs::read_to_string(&file).unwrap().lines().any(|line| defines(line, kind, old)),
            };
            if is_back {
                found.push(format!("{}: {kind} {old} is called {new}", file.display()));
            }
        }
    }
    assert_eq!(found, [""; 0]);
}
