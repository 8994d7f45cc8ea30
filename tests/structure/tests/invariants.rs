//! Structure of the code: the modules that may use a library, and the length of files and functions.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Maximum length of a file, in lines.
const LONGEST_FILE: usize = 400;
/// Maximum length of a function, in lines.
const LONGEST_FUNCTION: usize = 60;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Returns every Rust file below a folder, with its path from the root and its text.
fn files(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

/// Returns the lines of code, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

fn offenders(forbidden: &[&str], allowed: impl Fn(&str) -> bool) -> Vec<String> {
    let mut offenders = Vec::new();
    for (name, text) in files("host").into_iter().filter(|(name, _)| !allowed(name)) {
        for line in code(&text).filter(|line| forbidden.iter().any(|word| line.contains(word))) {
            offenders.push(format!("{name}: {}", line.trim()));
        }
    }
    offenders
}

#[test]
fn each_library_has_its_module() {
    let below = |folder: &'static str| move |name: &str| name.starts_with(folder);
    assert_eq!(offenders(&["axum"], below("host/server/src/http/")), [""; 0]);
    let sql = |name: &str| name.starts_with("host/store/") || name.starts_with("host/types/src/");
    assert_eq!(offenders(&["sqlx"], sql), [""; 0]);
    let wasm = ["wasmtime", "wasmparser", "wit_component"];
    assert_eq!(offenders(&wasm, below("host/runtime/")), [""; 0]);
    let environment = |name: &str| name.starts_with("host/server/src/config/") || name.ends_with("/build.rs");
    assert_eq!(offenders(&["env::var", "env::vars"], environment), [""; 0]);
    let spawns =
        ["tokio::spawn", "task::spawn", "thread::spawn", "spawn_blocking", "thread::Builder", "runtime::Builder"];
    // The command line creates the server's own runtime.
    let starters = ["host/system/src/tasks.rs", "host/cli/src/main.rs"];
    assert_eq!(offenders(&spawns, |name| starters.contains(&name)), [""; 0]);
}

/// Values are validated against schemas only where that blocks nothing else, and no transaction waits for
/// components.
#[test]
fn schemas_are_evaluated_in_one_place() {
    let place = |name: &str| {
        name.starts_with("host/schema/") || name == "host/runtime/src/schemas.rs"
        // The schemas are our own, and large bodies are parsed off the server's threads.
        || name == "host/server/src/http/api/body.rs"
    };
    assert_eq!(offenders(&["Schema::new(", ".mismatches("], place), [""; 0]);
    let mut wrong = Vec::new();
    for (name, text) in files("host") {
        for opening in [".write(", ".persist("] {
            let transactions = text.match_indices(opening).map(|(at, _)| enclosed(&text[at + opening.len() - 1..]));
            wrong.extend(
                transactions.filter(|inner| inner.contains("plugins.")).map(|inner| format!("{name}: {inner}")),
            );
        }
    }
    assert_eq!(wrong, [""; 0]);
}

/// Returns the text up to the parenthesis that closes its first one.
fn enclosed(text: &str) -> &str {
    let mut depth = 0;
    let end = text.char_indices().find(|(_, c)| {
        depth += i32::from(*c == '(') - i32::from(*c == ')');
        depth == 0
    });
    &text[..end.map_or(text.len(), |(end, _)| end)]
}

#[test]
fn unsafe_stands_in_one_place() {
    let modules = ["host/runtime/src/precompiled.rs", "host/runtime/src/bindings.rs"];
    assert_eq!(
        offenders(&["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "unsafe_code"], |name| modules
            .contains(&name)),
        [""; 0]
    );
    let loading = fs::read_to_string(root().join(modules[0])).unwrap();
    assert_eq!(code(&loading).filter(|line| line.contains("unsafe {")).count(), 1);
}

#[test]
fn files_and_functions_are_short_and_modules_say_what_they_are() {
    let mut wrong = Vec::new();
    for folder in ["host", "sdk/src", "example-skills", "tests"] {
        for (name, text) in files(folder) {
            let lines = text.lines().count();
            if lines > LONGEST_FILE {
                wrong.push(format!("{name} has {lines} lines"));
            }
            if !text.starts_with("//!") {
                wrong.push(format!("{name} does not open with `//!`"));
            }
            wrong.extend(long_functions(&text).map(|function| format!("{name}: {function}")));
        }
    }
    assert_eq!(wrong, [""; 0]);
}

/// Returns the functions that are too long. A function ends at the closing brace with the indentation of its
/// `fn`.
fn long_functions(text: &str) -> impl Iterator<Item = String> {
    let lines: Vec<_> = text.lines().collect();
    let starts = lines.iter().enumerate().filter(|(_, line)| {
        let code = line.trim_start();
        let code = code.strip_prefix("pub ").unwrap_or(code);
        ["fn ", "async fn ", "pub(super) fn ", "pub(crate) fn ", "const fn "]
            .iter()
            .any(|start| code.starts_with(start))
    });
    let mut long = Vec::new();
    for (start, line) in starts {
        let indent = " ".repeat(line.len() - line.trim_start().len());
        let end = lines.iter().skip(start).position(|line| *line == format!("{indent}}}")).unwrap_or(0);
        if end > LONGEST_FUNCTION {
            long.push(format!("{} has {end} lines", line.trim()));
        }
    }
    long.into_iter()
}
