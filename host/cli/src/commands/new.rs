//! `moxxy new`: creates the crate of a skill or a provider.

use std::{fs, path::Path};

use moxxy_server::config::Flags;
use moxxy_types::{error::Error, ids::Name};
use serde_json::json;

use crate::{commands::build, failure::CliResult, sdk, terminal::Terminal};

const CARGO: &str = include_str!("../../templates/Cargo.toml.in");
const SKILL: &str = include_str!("../../templates/skill.rs.in");
const PROVIDER: &str = include_str!("../../templates/provider.rs.in");
const IGNORED: &str = "/target\n/*.wasm\n/.cargo/config.toml\n";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What it is to be.
    kind: Kind,
    /// Its name: 1 to 64 of a-z, 0-9 and -, and a letter first. The crate's folder is called so.
    name: String,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// Tools that a model may call.
    Skill,
    /// An adapter to a service that runs language models.
    Provider,
}

pub(crate) fn run(flags: &Flags, terminal: Terminal, args: Args) -> CliResult {
    let name = Name::try_from(args.name)?;
    if !name.as_str().starts_with(|c: char| c.is_ascii_lowercase()) || name.as_str().starts_with("moxxy-sdk") {
        return Err(Error::invalid_field("name", "a crate's name begins with a letter, and is not the SDK's").into());
    }
    let (folder, sdk) = (Path::new(name.as_str()), sdk::unpack(flags)?);
    if folder.exists() {
        return Err(Error::conflict("unwritable", format!("Cannot make {name}: it is there already")).into());
    }
    // Cargo rejects invalid crate names and adds the crate to the workspace around it.
    build::output(build::cargo(Path::new(".")).args(["new", "--quiet", "--lib", "--vcs=none", name.as_str()]))?;
    let (source, description) = match args.kind {
        Kind::Skill => (SKILL, "Greets people."),
        Kind::Provider => (PROVIDER, "Says what it was told last."),
    };
    let manifest = CARGO
        .replace("{name}", name.as_str())
        .replace("{description}", description)
        .replace("{sdk}", env!("CARGO_PKG_VERSION"));
    for (path, content) in [("Cargo.toml", &*manifest), ("src/lib.rs", source), (".gitignore", IGNORED)] {
        let path = folder.join(path);
        fs::write(&path, content).map_err(|e| sdk::unwritable(&path, &e))?;
    }
    sdk::write_cargo_config(terminal, &build::describe(folder)?.1.workspace_root, &sdk)?;
    match terminal.json {
        true => terminal.document(&json!({ "folder": name }).to_string()),
        false => {
            terminal.print(&format!("Made {name}/Cargo.toml and {name}/src/lib.rs. Next: cd {name} && moxxy build\n"))
        }
    }
}
