//! `moxxy vault`: checks and rotates the master key that seals the secrets. Works on the data directory, without
//! a server.

use std::{fs, path::PathBuf};

use moxxy_secrets::MasterKey;
use moxxy_server::{
    config::{Config, Flags},
    services::offline,
};
use serde_json::json;
use zeroize::Zeroizing;

use crate::{
    failure::{CliResult, Failure},
    terminal::Terminal,
};

const ROTATING: &str =
    "Stop the server first. A rotation that is cut off anywhere leaves every secret readable, by the old
key or by the new one. Where the key is configured, give the new one in a file, then configure that:
  openssl rand -hex 32 > new.key
  moxxy vault rotate-key --new-key new.key";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Seal every secret by a new master key.
    #[command(after_help = ROTATING)]
    RotateKey {
        /// A file with the new key, 64 hexadecimal digits (default: a random one, if the key lies in the data directory).
        #[arg(long, value_name = "FILE")]
        new_key: Option<PathBuf>,
    },
    /// Say whether the master key opens every secret.
    Check,
}

pub(crate) async fn run(flags: &Flags, terminal: Terminal, command: Command) -> CliResult {
    let config = Config::load(flags)?;
    let configured = config.data.configured_key().is_some();
    let (count, told) = match command {
        Command::Check => (offline::check_key(&config).await?, "The master key opens all secrets"),
        Command::RotateKey { new_key: None } if configured => {
            let message = "The master key is configured, so the new one has to be given: --new-key FILE";
            return Err(Failure::usage(message));
        }
        Command::RotateKey { new_key } => {
            let key = new_key.map_or_else(|| Ok(MasterKey::random()?), |file| read(&file))?;
            (offline::rotate_key(&config, key).await?, "All secrets are sealed by the new master key")
        }
    };
    if terminal.json {
        return terminal.document(&json!({ "secrets": count }).to_string());
    }
    terminal.print(&format!("{told}: {count}.\n"))
}

fn read(file: &PathBuf) -> CliResult<MasterKey> {
    let text = fs::read_to_string(file).map(Zeroizing::new);
    let text = text.map_err(|e| Failure::usage(format!("Cannot read {}: {e}", file.display())))?;
    Ok(MasterKey::read(&text, &file.display().to_string())?)
}
