//! Which crate and which module may name which.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use structure::Graph;

/// The crates of the server, each with those that it may depend on. To change it is to change the design.
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

/// The name of a package without the prefix that all share; the binary has the project's name.
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

/// Parts of a crate that depend on each other, each with the reason.
const CIRCLES: [(&str, &[&str]); 2] = [
    // Bindings are generated with the types of the resources, which the imports implement on a call's state.
    ("runtime", &["bindings", "imports", "state"]),
    // Services still take the handles that `app` wires together.
    ("server", &["app", "services"]),
];

#[test]
fn parts_of_a_crate_do_not_depend_on_each_other() {
    let mut found = Vec::new();
    for (name, _) in CRATES {
        let graph = Graph::of_crate(&root().join("host").join(name).join("src")).unwrap();
        if let Some(largest) = graph.cycles().first() {
            println!("{name}: the largest cycle has {} files", largest.len());
        }
        let parts = graph.grouped(|module| module.split("::").next().unwrap_or_default().to_owned());
        let allowed: Vec<BTreeSet<_>> =
            CIRCLES.iter().filter(|(of, _)| *of == name).map(|(_, parts)| parts.iter().copied().collect()).collect();
        let folder = |part: &str| root().join("host").join(name).join("src").join(part).is_dir();
        let circles = parts.cycles().into_iter().filter(|cycle| cycle.iter().any(|part| folder(part)));
        found.extend(circles.filter(|cycle| !allowed.contains(cycle)).map(|cycle| format!("{name}: {cycle:?}")));
    }
    assert_eq!(found, [""; 0]);
}

/// Only `http` answers clients, and only it knows how.
#[test]
fn services_never_name_http() {
    let graph = Graph::of_crate(&root().join("host/server/src")).unwrap();
    let upwards: Vec<_> =
        graph.edges().filter(|(from, to)| to.starts_with("http") && !from.starts_with("http")).collect();
    assert_eq!(upwards, []);
}
