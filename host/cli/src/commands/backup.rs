//! `moxxy backup`: writes the database and the components to a file.

use std::path::PathBuf;

use moxxy_server::{
    config::{Config, Flags},
    services::backup,
};
use serde_json::json;

use crate::{arguments, failure::CliResult, terminal::Terminal};

const ABOUT: &str = "It reads the data directory itself, while the server runs or not; the server is not asked. The
file holds the database as it is at one moment and every component, but not the master key that its
secrets are sealed by: keep a copy of that elsewhere. Nor does it hold moxxy.toml.
  moxxy backup /backups/$(date +%F).moxxy
  moxxy --home NEW restore /backups/2030-01-02.moxxy";

#[derive(Debug, clap::Args)]
#[command(after_help = ABOUT)]
pub(crate) struct Args {
    /// Where to write it; a file that is there is not overwritten.
    #[arg(value_parser = arguments::path())]
    file: PathBuf,
}

pub(crate) async fn run(flags: &Flags, terminal: Terminal, args: Args) -> CliResult {
    let taken = backup::create(&Config::load(flags)?, &args.file).await?;
    if terminal.json {
        return terminal.document(&json!(taken).to_string());
    }
    let (file, components, size) = (taken.file.display(), taken.components, taken.size);
    terminal.print(&format!("Wrote {file}: the database and {components} components, {size} bytes.\n"))?;
    terminal.note("The master key is not in it: without that no secret in it can be read.");
    Ok(())
}
