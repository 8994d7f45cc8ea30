//! Embeds the components of `make components`, so that they install by name.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a build that cannot go on stops")]

#[path = "../build_tables.rs"]
mod tables;

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use tables::{entries, write_table};

fn main() {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap()).join("../..").canonicalize().unwrap();
    embed_components(&root);
}

/// A component for each crate among the examples.
fn embed_components(root: &Path) {
    let examples = root.join("example-skills");
    let folders = ["skills", "providers"].map(|kind| entries(&examples.join(kind))).concat();
    let crates = folders.iter().filter(|folder| folder.join("Cargo.toml").is_file());
    let mut names: Vec<_> = crates.map(|folder| folder.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    println!("cargo::rerun-if-changed={}", examples.display());
    println!("cargo::rerun-if-env-changed=MOXXY_NO_BUNDLE");
    let folder = target(root).join("components");
    let entry = |name: &String| {
        let file = folder.join(name).with_extension("wasm");
        println!("cargo::rerun-if-changed={}", file.display());
        assert!(file.is_file(), "{} is missing: run `make components`, or set MOXXY_NO_BUNDLE=1", file.display());
        format!("({name:?}, include_bytes!({file:?}).as_slice()),\n")
    };
    let bundle = env::var("MOXXY_NO_BUNDLE").as_deref() != Ok("1");
    write_table(
        &Path::new(&env::var("OUT_DIR").unwrap()).join("bundled.rs"),
        names.iter().filter(|_| bundle).map(entry).collect(),
    );
}

/// Where cargo puts what it builds.
fn target(root: &Path) -> PathBuf {
    println!("cargo::rerun-if-env-changed=CARGO_TARGET_DIR");
    let mut cargo = Command::new(env::var("CARGO").unwrap());
    let output = cargo.args(["metadata", "--no-deps", "--offline", "--format-version=1"]).current_dir(root).output();
    let metadata: serde_json::Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    metadata["target_directory"].as_str().unwrap().into()
}
