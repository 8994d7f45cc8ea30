//! Embeds the SDK, so that `moxxy new` and `moxxy build` need nothing else.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a build that cannot go on stops")]

#[path = "../build_tables.rs"]
mod tables;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use tables::{entries, write_table};

fn main() {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap()).join("../..").canonicalize().unwrap();
    embed_sdk(&root);
}

fn embed_sdk(root: &Path) {
    let files = ["sdk", "wit"].map(|folder| files_below(&root.join(folder))).concat();
    let entry = |path: &PathBuf| format!("({:?}, include_str!({path:?})),\n", path.strip_prefix(root).unwrap());
    let workspace =
        format!("(\"Cargo.toml\", {:?}),\n", workspace(&fs::read_to_string(root.join("Cargo.toml")).unwrap()));
    println!("cargo::rerun-if-changed={}", root.join("Cargo.toml").display());
    write_table(
        &Path::new(&env::var("OUT_DIR").unwrap()).join("sdk.rs"),
        files.iter().map(entry).chain([workspace]).collect(),
    );
}

/// The workspace that the SDK's crates inherit from, and nothing else of ours.
fn workspace(manifest: &str) -> String {
    let mut workspace = manifest.parse::<Table>().unwrap()["workspace"].as_table().unwrap().clone();
    workspace.retain(|key, _| ["resolver", "package", "dependencies", "lints"].contains(&key));
    let dependencies = workspace["dependencies"].as_table_mut().unwrap();
    dependencies.retain(|_, dependency| !is_of_the_server(dependency));
    workspace.insert("members".into(), Value::Array(vec!["sdk".into(), "sdk/macros".into()]));
    Table::from_iter([("workspace".to_owned(), Value::Table(workspace))]).to_string()
}

fn is_of_the_server(dependency: &Value) -> bool {
    dependency.get("path").and_then(Value::as_str).is_some_and(|path| path.starts_with("host/"))
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    println!("cargo::rerun-if-changed={}", folder.display());
    entries(folder).into_iter().flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
