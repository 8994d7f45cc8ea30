//! `moxxy build`: a small and fast component of a crate, checked as an install checks it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde::Deserialize;

use super::{inspect, sdk};
use crate::{
    config::Flags,
    error::{Error, Result},
};

const TARGET: &str = "wasm32-wasip2";
/// Defines the profile `component`, unless the crate does.
const PROFILE: [&str; 6] = [
    "profile.component.inherits=\"release\"",
    "profile.component.opt-level=3",
    "profile.component.lto=true",
    "profile.component.codegen-units=1",
    "profile.component.panic=\"abort\"",
    "profile.component.strip=true",
];
/// A stack that lies in few pages, and is deep enough for what has an end.
const STACK: &str = "target.wasm32-wasip2.rustflags=[\"-Clink-arg=-zstack-size=262144\"]";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The crate's folder.
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Where to put the component (default: the crate's name and `.wasm`, in its folder).
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What else to hand to `cargo build`, such as `--features NAME`.
    #[arg(last = true)]
    cargo: Vec<String>,
}

/// What cargo says of a crate.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// A registry or a repository; absent for a path.
    source: Option<String>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    crate_types: Vec<String>,
}

pub async fn run(flags: Flags, args: Args) -> Result<()> {
    let folder = args.folder.canonicalize().map_err(|e| unusable(&args.folder, &e.to_string()))?;
    let (package, metadata) = describe(&folder)?;
    let library = package.targets.iter().find(|target| target.crate_types.iter().any(|kind| kind == "cdylib"));
    let library = library.ok_or_else(|| unusable(&folder, "its Cargo.toml lacks `[lib] crate-type = [\"cdylib\"]`"))?;
    add_target()?;
    cargo_build(&flags, &folder, &package, &metadata, &args.cargo)?;
    let file = format!("{}.wasm", library.name.replace('-', "_"));
    let built = metadata.target_directory.join(TARGET).join("component").join(file);
    let output = args.output.unwrap_or_else(|| {
        let file = PathBuf::from(format!("{}.wasm", package.name));
        if args.folder == Path::new(".") { file } else { args.folder.join(file) }
    });
    std::fs::copy(&built, &output).map_err(|e| sdk::unwritable(&output, &e))?;
    print!("{}", inspect::text(&inspect::inspect(&flags, &output).await?));
    println!("Built {}", output.display());
    Ok(())
}

fn describe(folder: &Path) -> Result<(Package, Metadata)> {
    let output = output(cargo(folder).args(["metadata", "--no-deps", "--format-version=1"]))?;
    let mut metadata: Metadata = serde_json::from_slice(&output.stdout).map_err(Error::internal)?;
    let manifest = folder.join("Cargo.toml");
    let found = metadata.packages.iter().position(|package| package.manifest_path == manifest);
    let found = found.ok_or_else(|| unusable(folder, "there is no package in it, only a workspace"))?;
    Ok((metadata.packages.swap_remove(found), metadata))
}

/// Adds the target where rustup manages the toolchain; elsewhere cargo says what is missing.
fn add_target() -> Result<()> {
    let mut installed = Command::new("rustup");
    match installed.args(["target", "list", "--installed"]).output() {
        Ok(list) if !String::from_utf8_lossy(&list.stdout).lines().any(|line| line == TARGET) => {
            output(Command::new("rustup").args(["target", "add", TARGET]).stderr(Stdio::inherit())).map(drop)
        }
        _ => Ok(()),
    }
}

fn cargo_build(flags: &Flags, folder: &Path, package: &Package, metadata: &Metadata, more: &[String]) -> Result<()> {
    let mut build = cargo(folder);
    build.args(["build", "--lib", "--profile=component", "--target", TARGET]);
    let from_registry = |dependency: &Dependency| {
        dependency.name == "moxxy-sdk"
            && dependency.source.as_ref().is_some_and(|source| source.starts_with("registry"))
    };
    if package.dependencies.iter().any(from_registry) {
        let sdk = sdk::unpack(flags)?;
        sdk::point_to(folder, &sdk)?;
        build.arg("--config").arg(format!("patch.crates-io.moxxy-sdk.path={sdk:?}"));
    }
    let root = std::fs::read_to_string(metadata.workspace_root.join("Cargo.toml")).unwrap_or_default();
    if !root.contains("[profile.component]") {
        build.args(PROFILE.iter().flat_map(|setting| ["--config", setting]));
    }
    output(build.args(["--config", STACK]).args(more).stdout(Stdio::inherit()).stderr(Stdio::inherit())).map(drop)
}

fn cargo(folder: &Path) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(folder);
    cargo
}

/// Runs a command that has to succeed.
fn output(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let missing =
        |e| Error::conflict("no_toolchain", format!("Cannot run {program}: {e}. Get Rust at https://rustup.rs"));
    let output = command.output().map_err(missing)?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::invalid("build_failed", format!("{program} failed ({})\n{said}", output.status).trim_end().to_owned()))
}

fn unusable(folder: &Path, why: &str) -> Error {
    Error::invalid("no_crate", format!("Cannot build {}: {why}", folder.display()))
}
