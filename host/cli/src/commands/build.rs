//! `moxxy build`: builds a small and fast component from a crate, and checks it as an install does.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use moxxy_server::config::Flags;
use moxxy_types::error::{Error, Result};
use serde::Deserialize;
use serde_json::json;

use crate::{commands::inspect, failure::CliResult, sdk, terminal::Terminal};

const TARGET: &str = "wasm32-wasip2";
/// Cargo settings that define the profile `component`, unless the crate does.
const PROFILE: [&str; 6] = [
    "profile.component.inherits=\"release\"",
    "profile.component.opt-level=3",
    "profile.component.lto=true",
    "profile.component.codegen-units=1",
    "profile.component.panic=\"abort\"",
    "profile.component.strip=true",
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The crate's folder.
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Where to put the component (default: the crate's name and `.wasm`, in its folder).
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How much stack the component has, in bytes. Calls nest on it; what they allocate lies elsewhere.
    #[arg(long, value_name = "BYTES", default_value_t = 512 * 1024)]
    stack: u32,
    /// What else to hand to cargo, such as `--features NAME`.
    #[arg(last = true)]
    cargo: Vec<String>,
}

/// Output of `cargo metadata`.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    packages: Vec<Package>,
    pub workspace_root: PathBuf,
}

#[derive(Deserialize)]
pub(crate) struct Package {
    pub name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// Registry or repository; absent for a path.
    source: Option<String>,
}

/// Message that Cargo prints during a build.
#[derive(Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum Message {
    CompilerArtifact {
        manifest_path: PathBuf,
        filenames: Vec<PathBuf>,
    },
    #[serde(other)]
    Other,
}

pub(crate) async fn run(flags: Flags, terminal: Terminal, args: Args) -> CliResult {
    let (package, workspace) = describe(&args.folder)?;
    add_target(&args.folder)?;
    let built = cargo_build(&flags, terminal, &args, &package, &workspace)?;
    // Check first, so that an invalid component does not replace a valid one.
    let description = inspect::inspect(&flags, &built).await?;
    let output = args.output.unwrap_or_else(|| {
        let file = PathBuf::from(format!("{}.wasm", package.name));
        if args.folder == Path::new(".") { file } else { args.folder.join(file) }
    });
    std::fs::copy(&built, &output).map_err(|e| sdk::unwritable(&output, &e))?;
    match terminal.json {
        true => terminal.document(&json!({ "file": output, "component": description }).to_string()),
        false => terminal.print(&format!("{}Built {}\n", inspect::text(&description), output.display())),
    }
}

/// Returns the package in a folder, and its workspace.
pub(crate) fn describe(folder: &Path) -> Result<(Package, Metadata)> {
    let folder = folder.canonicalize().map_err(|e| unreadable(folder, &e))?;
    let manifest = folder.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(unusable(&folder, "there is no Cargo.toml in it"));
    }
    let output = output(cargo(&folder).args(["metadata", "--no-deps", "--format-version=1"]))?;
    let mut metadata: Metadata = serde_json::from_slice(&output.stdout).map_err(Error::internal)?;
    let found = metadata.packages.iter().position(|package| package.manifest_path == manifest);
    let found = found.ok_or_else(|| unusable(&folder, "there is no package in it, only a workspace"))?;
    Ok((metadata.packages.swap_remove(found), metadata))
}

/// Adds the target if rustup manages the toolchain. Otherwise Cargo reports what is missing.
fn add_target(folder: &Path) -> Result<()> {
    let rustup = || {
        let mut rustup = Command::new("rustup");
        rustup.current_dir(folder);
        rustup
    };
    match rustup().args(["target", "list", "--installed"]).output() {
        Ok(list) if !String::from_utf8_lossy(&list.stdout).lines().any(|line| line == TARGET) => {
            output(rustup().args(["target", "add", TARGET]).stderr(Stdio::inherit())).map(drop)
        }
        _ => Ok(()),
    }
}

/// Builds the crate and returns the path of the component.
fn cargo_build(
    flags: &Flags,
    terminal: Terminal,
    args: &Args,
    package: &Package,
    workspace: &Metadata,
) -> Result<PathBuf> {
    let mut build = cargo(&args.folder);
    build.args(["rustc", "--lib", "--profile=component", "--target", TARGET]);
    build.arg("--message-format=json-render-diagnostics");
    if package.wants_sdk() {
        let sdk = sdk::unpack(flags)?;
        sdk::write_cargo_config(terminal, &workspace.workspace_root, &sdk)?;
        build.arg("--config").arg(sdk::patch(&sdk));
    }
    let manifest = fs::read_to_string(workspace.workspace_root.join("Cargo.toml")).unwrap_or_default();
    let manifest = manifest.parse::<toml::Table>().unwrap_or_default();
    if manifest.get("profile").and_then(|profiles| profiles.get("component")).is_none() {
        build.args(PROFILE.iter().flat_map(|setting| ["--config", setting]));
    }
    // Applies to the component only, in addition to the author's own flags.
    let stack = format!("-Clink-arg=-zstack-size={}", args.stack);
    let output = output(build.args(&args.cargo).args(["--", &stack]).stderr(Stdio::inherit()))?;
    let messages = output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let files = messages.filter_map(|message| match message {
        Message::CompilerArtifact { manifest_path, filenames } if manifest_path == package.manifest_path => {
            Some(filenames)
        }
        _ => None,
    });
    let component = files.flatten().rfind(|file| file.extension().is_some_and(|extension| extension == "wasm"));
    component.ok_or_else(|| unusable(&args.folder, "its Cargo.toml lacks `[lib] crate-type = [\"cdylib\"]`"))
}

impl Package {
    /// Returns whether the package depends on the SDK from a registry.
    fn wants_sdk(&self) -> bool {
        self.dependencies.iter().any(|dependency| {
            let registry = dependency.source.as_ref().is_some_and(|source| source.starts_with("registry"));
            dependency.name == "moxxy-sdk" && registry
        })
    }
}

pub(crate) fn cargo(folder: &Path) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(folder);
    cargo
}

/// Runs a command and returns its output. Fails unless the command succeeds.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let missing =
        |e| Error::conflict("no_toolchain", format!("Cannot run {program}: {e}. Get Rust at https://rustup.rs"));
    let output = command.stdin(Stdio::null()).output().map_err(missing)?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::invalid("build_failed", format!("{program} failed ({})\n{said}", output.status).trim_end().to_owned()))
}

fn unreadable(folder: &Path, error: &std::io::Error) -> Error {
    Error::invalid("unreadable_folder", format!("Cannot build {}: {error}", folder.display()))
}

fn unusable(folder: &Path, why: &str) -> Error {
    Error::invalid("no_crate", format!("Cannot build {}: {why}", folder.display()))
}
