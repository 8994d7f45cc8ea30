//! Embeds the components that lie in `target/components`, so that they install by name.

#![expect(clippy::unwrap_used, reason = "a build that cannot go on stops")]

use std::{env, fs, path::Path};

fn main() {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap()).join("../target/components");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files: Vec<_> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path().canonicalize().unwrap())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    files.sort();
    if files.is_empty() {
        println!("cargo::warning=no components are embedded: run `make components` first");
    }
    let entry = |path: &Path| {
        format!("({:?}, include_bytes!({:?}).as_slice()),\n", path.file_stem().unwrap().to_str().unwrap(), path)
    };
    let table: String = files.iter().map(|path| entry(path)).collect();
    let out = Path::new(&env::var("OUT_DIR").unwrap()).join("bundled.rs");
    fs::write(out, format!("&[{table}]")).unwrap();
}
