//! Allowed dependencies between crates and between modules.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use structure::Graph;

/// Crates of the server with their allowed dependencies. A change here is a change of the design.
const CRATES: [(&str, &[&str]); 10] = [
    ("types", &[]),
    ("system", &["types"]),
    ("schema", &["types"]),
    ("secrets", &["types"]),
    ("egress", &["types", "system", "secrets"]),
    ("store", &["types", "system"]),
    ("runtime", &["types", "system", "schema", "secrets", "egress"]),
    ("conformance", &["types", "system", "secrets", "egress", "runtime"]),
    ("server", &["types", "system", "schema", "secrets", "egress", "store", "runtime", "conformance"]),
    ("cli", &["types", "system", "secrets", "egress", "runtime", "conformance", "server"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns a package's name without the common prefix. The binary's package has the project's name.
fn short(package: &str) -> Option<&str> {
    if package == "moxxy" { Some("cli") } else { package.strip_prefix("moxxy-") }
}

#[test]
fn crates_depend_on_those_below() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut found = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let Some(name) = short(package["name"].as_str().unwrap()) else { continue };
        if !package["manifest_path"].as_str().unwrap().contains("/host/") {
            continue;
        }
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let normal = dependencies.filter(|dependency| dependency["kind"].is_null());
        let ours: BTreeSet<_> = normal.filter_map(|dependency| short(dependency["name"].as_str().unwrap())).collect();
        found.insert(name, ours);
    }
    let listed: BTreeSet<_> = CRATES.iter().map(|(name, _)| *name).collect();
    assert_eq!(found.keys().copied().collect::<BTreeSet<_>>(), listed);
    for (name, allowed) in CRATES {
        let beyond: Vec<_> = found[name].iter().filter(|below| !allowed.contains(below)).collect();
        assert!(beyond.is_empty(), "{name} depends on {beyond:?}");
    }
}

/// Allowed cycles between parts of a folder, each with its reason.
const ALLOWED_CYCLES: [(&str, &[&str]); 1] = [
    // Bindings are generated with the types of the resources, which the imports implement on a call's state.
    ("runtime", &["bindings", "imports", "state"]),
];

/// At each level, a folder is in no cycle with the files and folders beside it. A folder's own `mod.rs` does not count.
#[test]
fn folders_do_not_depend_on_each_other() {
    let mut found = Vec::new();
    for (name, _) in CRATES {
        let source = root().join("host").join(name).join("src");
        let graph = Graph::of_crate(&source).unwrap();
        if let Some(largest) = graph.cycles().first() {
            println!("{name}: the largest cycle has {} files", largest.len());
        }
        let allowed: Vec<BTreeSet<_>> = ALLOWED_CYCLES
            .iter()
            .filter(|(of, _)| *of == name)
            .map(|(_, parts)| parts.iter().copied().collect())
            .collect();
        for (folder, prefix) in folders(&source, "") {
            let part = |module: &str| {
                module.strip_prefix(&*prefix).and_then(|below| below.split("::").next()).map(str::to_owned)
            };
            let parts = graph.grouped(|module| part(module).unwrap_or_default()).without("");
            let cycles = parts.cycles().into_iter().filter(|cycle| cycle.iter().any(|part| folder.join(part).is_dir()));
            found.extend(
                cycles.filter(|cycle| !allowed.contains(cycle)).map(|cycle| format!("{name} {prefix}{cycle:?}")),
            );
        }
    }
    assert_eq!(found, [""; 0]);
}

/// Returns a folder and all folders below it, each with the prefix of its modules.
fn folders(folder: &Path, prefix: &str) -> Vec<(PathBuf, String)> {
    let mut found = vec![(folder.to_owned(), prefix.to_owned())];
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()).filter(|entry| entry.path().is_dir()) {
        found.extend(folders(&entry.path(), &format!("{prefix}{}::", entry.file_name().to_str().unwrap())));
    }
    found
}

/// Handlers reach the database, components and the network through services alone.
#[test]
fn http_names_no_crate_of_a_lower_layer() {
    let lower = ["moxxy_store", "moxxy_runtime", "moxxy_egress", "moxxy_secrets", "moxxy_conformance"];
    let mut found = Vec::new();
    for (folder, _) in folders(&root().join("host/server/src/http"), "") {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            let text = fs::read_to_string(&path).unwrap();
            found.extend(
                lower.iter().filter(|name| text.contains(**name)).map(|name| format!("{}: {name}", path.display())),
            );
        }
    }
    assert_eq!(found, [""; 0]);
}

/// Services do not depend on `http`, the only module that answers clients.
#[test]
fn services_never_name_http() {
    let graph = Graph::of_crate(&root().join("host/server/src")).unwrap();
    let upwards: Vec<_> =
        graph.edges().filter(|(from, to)| to.starts_with("http") && !from.starts_with("http")).collect();
    assert_eq!(upwards, []);
}
