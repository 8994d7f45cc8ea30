//! `moxxy restore`: restores a backup. Works on the data directory, without a server.

use std::path::{Path, PathBuf};

use moxxy_server::{
    config::{Config, Flags},
    services::backup::{self, Restored, Unfinished},
};
use serde_json::json;

use crate::{
    arguments,
    commands::init::shell_quote,
    failure::{CliResult, Failure},
    terminal::Terminal,
};

const ABOUT: &str =
    "The data directory has to be empty but for `master.key` and `moxxy.toml`. The master key is that of the
backup's server, as MOXXY_MASTER_KEY, MOXXY_MASTER_KEY_FILE or `master.key` in the data directory.

A restored server answers, but carries out no run until it is activated, with the server stopped:
nobody knows what the other one did since the backup, so you say what becomes of its unfinished runs.
  moxxy --home NEW restore FILE
  moxxy --home NEW restore --activate --resume   # or --cancel";

#[derive(Debug, clap::Args)]
#[command(after_help = ABOUT)]
pub(crate) struct Args {
    /// A file that `moxxy backup` wrote.
    #[arg(value_parser = arguments::path(), required_unless_present = "activate")]
    file: Option<PathBuf>,
    /// Let the restored server act.
    #[arg(long, conflicts_with = "file", requires = "unfinished")]
    activate: bool,
    #[command(flatten)]
    unfinished: Choice,
}

#[derive(Debug, clap::Args)]
#[group(id = "unfinished", multiple = false, requires = "activate")]
struct Choice {
    /// Runs that had not ended go on at the next start, as after a crash.
    #[arg(long)]
    resume: bool,
    /// Runs that had not ended are cancelled.
    #[arg(long)]
    cancel: bool,
}

pub(crate) async fn run(flags: &Flags, terminal: Terminal, args: Args) -> CliResult {
    let config = Config::load(flags)?;
    match args.file {
        Some(file) => render(terminal, &config.data.home, &backup::restore(&config, &file).await?),
        None => activate(terminal, &config, args.unfinished).await,
    }
}

fn render(terminal: Terminal, home: &Path, restored: &Restored) -> CliResult {
    if terminal.json {
        return terminal.document(&json!(restored).to_string());
    }
    let Restored { taken_at, components, secrets, unfinished, audit } = restored;
    for finding in &audit.findings {
        terminal.print_status(&format!("moxxy: warning: the audit log of the backup: {finding}"));
    }
    let (head, home) = (audit.head.as_ref().map(|head| head.position).unwrap_or_default(), shell_quote(home));
    terminal.print(&format!(
        "Restored the backup of {taken_at}: {components} components, {secrets} secrets that the master key opens, \
         {head} entries in the audit log.\n"
    ))?;
    terminal.note(&format!(
        "Runs that had not ended: {unfinished}. No run is carried out until you say what becomes of them:\n  \
         moxxy --home {home} restore --activate --resume   # they go on\n  \
         moxxy --home {home} restore --activate --cancel"
    ));
    Ok(())
}

async fn activate(terminal: Terminal, config: &Config, choice: Choice) -> CliResult {
    let unfinished = if choice.resume { Unfinished::Resume } else { Unfinished::Cancel };
    let runs = backup::activate(config, unfinished).await.map_err(|error| match error.code() {
        "data_in_use" => Failure::from(error).advise("Stop that server first."),
        _ => error.into(),
    })?;
    if terminal.json {
        return terminal.document(&json!({ "runs": runs }).to_string());
    }
    terminal.print(&match unfinished {
        Unfinished::Resume => format!("Activated. Runs that go on at the next start: {runs}.\n"),
        Unfinished::Cancel => format!("Activated. Runs that were cancelled: {runs}.\n"),
    })
}
