//! Embeds what the binary brings along: the components that lie in `target/components`, so that
//! they install by name, and the SDK, so that `moxxy new` and `moxxy build` need nothing else.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a build that cannot go on stops")]

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

fn main() {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap()).join("..").canonicalize().unwrap();
    embed_components(&root);
    embed_sdk(&root);
}

fn embed_components(root: &Path) {
    let folder = root.join("target/components");
    let files: Vec<_> = files_below(&folder)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    if files.is_empty() {
        println!("cargo::warning=no components are embedded: run `make components` first");
    }
    let entry = |path: &Path| {
        format!("({:?}, include_bytes!({:?}).as_slice()),\n", path.file_stem().unwrap().to_str().unwrap(), path)
    };
    write_table("bundled.rs", files.iter().map(|path| entry(path)).collect());
}

fn embed_sdk(root: &Path) {
    let files = ["sdk", "wit"].map(|folder| files_below(&root.join(folder))).concat();
    let entry = |path: &PathBuf| format!("({:?}, include_str!({path:?})),\n", path.strip_prefix(root).unwrap());
    let workspace =
        format!("(\"Cargo.toml\", {:?}),\n", workspace(&fs::read_to_string(root.join("Cargo.toml")).unwrap()));
    println!("cargo::rerun-if-changed={}", root.join("Cargo.toml").display());
    write_table("sdk.rs", files.iter().map(entry).chain([workspace]).collect());
}

/// The workspace that the SDK's crates inherit from, and nothing else of ours.
fn workspace(manifest: &str) -> String {
    let mut workspace = manifest.parse::<Table>().unwrap()["workspace"].as_table().unwrap().clone();
    workspace.retain(|key, _| ["resolver", "package", "dependencies", "lints"].contains(&key));
    workspace.insert("members".into(), Value::Array(vec!["sdk".into(), "sdk/macros".into()]));
    Table::from_iter([("workspace".to_owned(), Value::Table(workspace))]).to_string()
}

/// In a stable order.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut entries: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path().canonicalize().unwrap()).collect();
    entries.sort();
    entries.into_iter().flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

fn write_table(name: &str, entries: String) {
    fs::write(Path::new(&env::var("OUT_DIR").unwrap()).join(name), format!("&[{entries}]")).unwrap();
}
