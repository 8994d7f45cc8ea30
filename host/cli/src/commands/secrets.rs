//! `moxxy secret`: stores, lists, rotates and removes secrets.

use std::{
    fs,
    io::{self, IsTerminal as _, Read as _},
    path::{Path, PathBuf},
};

use moxxy_types::ids::SecretName;
use reqwest::Method;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    Options, arguments,
    client::{Answer, Call, Client},
    failure::{CliResult, Exit, Failure},
    terminal::{self, Terminal, text, time},
};

const PATH: &str = "/v1/vault/secrets";
const SETTING: &str =
    "The value is read from standard input or from a file, never from the command line, which others can
see. One line break at its end is left out.
  moxxy secret set github < token.txt
  pass show github | moxxy secret set github --description 'Reads issues'";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Keep a secret, or give one that is there another value.
    #[command(after_help = SETTING)]
    Set {
        #[command(flatten)]
        value: Given,
        /// What it is for, for those who read the list.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// List the secrets; their values are never shown.
    List,
    /// Give a secret another value; whatever may use it uses that from its next call on.
    #[command(after_help = SETTING)]
    Rotate(Given),
    /// Remove a secret with its value.
    #[command(visible_alias = "remove")]
    Rm {
        #[command(flatten)]
        secret: Secret,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Secret {
    /// Its name, by which components ask for it.
    #[arg(value_parser = arguments::secret)]
    name: SecretName,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Given {
    #[command(flatten)]
    secret: Secret,
    /// The file with the value (default: standard input).
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(crate) async fn run(options: &Options, command: Command) -> CliResult {
    let (client, terminal) = (Client::new(options)?, options.terminal());
    match command {
        Command::Set { value, description } => {
            let (name, value) = (&value.secret.name, value.read()?);
            let body = json!({ "name": name, "value": &**value, "description": description });
            match find(&client, name).await? {
                None => render(terminal, &client.answer(Call::post(PATH).json(body)).await?),
                Some(secret) => render(terminal, &replace(&client, &secret, &value, description).await?),
            }
        }
        Command::Rotate(value) => {
            let secret = known(&client, &value.secret.name).await?;
            render(terminal, &replace(&client, &secret, &value.read()?, None).await?)
        }
        Command::List => list(&client, terminal).await,
        Command::Rm { secret: Secret { name } } => {
            let call = Call::new(Method::DELETE, path(&known(&client, &name).await?));
            let removed = client.answer(call).await?;
            terminal.show(&removed, |_| format!("Removed {name}.\n"))
        }
    }
}

async fn replace(client: &Client, secret: &Value, value: &str, description: Option<String>) -> CliResult<Answer> {
    let body = json!({ "value": value, "description": description });
    client.answer(Call::new(Method::PUT, path(secret)).json(body)).await
}

fn path(secret: &Value) -> String {
    format!("{PATH}/{}", text(secret, "id"))
}

async fn find(client: &Client, name: &SecretName) -> CliResult<Option<Value>> {
    let secrets = client.list(Call::get(PATH), None).await?;
    let mut secrets = secrets.iter().filter_map(|secret| serde_json::from_str::<Value>(secret.get()).ok());
    Ok(secrets.find(|secret| text(secret, "name") == name.as_str()))
}

async fn known(client: &Client, name: &SecretName) -> CliResult<Value> {
    let unknown = || {
        Failure::new(Exit::NotFound, "secret_not_found", format!("Secret '{name}' not found"))
            .advise("`moxxy secret list` shows those that there are.")
    };
    find(client, name).await?.ok_or_else(unknown)
}

fn render(terminal: Terminal, secret: &Answer) -> CliResult {
    terminal.show(secret, |secret| {
        format!("Kept {} (version {}, {}).\n", text(secret, "name"), text(secret, "version"), text(secret, "id"))
    })
}

async fn list(client: &Client, terminal: Terminal) -> CliResult {
    let secrets = client.list(Call::get(PATH), None).await?;
    terminal.list(&secrets, "No secrets yet. Keep one: moxxy secret set NAME < FILE", |secrets| {
        let row = |secret: &Value| {
            let (name, version) = (text(secret, "name"), text(secret, "version"));
            [name, version, time(secret, "updated_at"), text(secret, "id"), text(secret, "description")]
        };
        terminal::table(["SECRET", "VERSION", "CHANGED (UTC)", "ID", "DESCRIPTION"], secrets.iter().map(row))
    })
}

impl Given {
    fn read(&self) -> CliResult<Zeroizing<String>> {
        let mut value = match &self.file {
            Some(file) => from_file(file)?,
            None => from_stdin(&self.secret.name)?,
        };
        let end = value.trim_end_matches('\n');
        let end = if end.len() + 1 == value.len() { end.trim_end_matches('\r').len() } else { value.len() };
        value.truncate(end);
        Ok(value)
    }
}

fn from_file(file: &Path) -> CliResult<Zeroizing<String>> {
    let text = fs::read_to_string(file);
    Ok(Zeroizing::new(text.map_err(|e| Failure::usage(format!("Cannot read {}: {e}", file.display())))?))
}

/// Reads a line without echo from a terminal, or everything from another stdin.
fn from_stdin(name: &SecretName) -> CliResult<Zeroizing<String>> {
    let stdin = io::stdin();
    let mut value = Zeroizing::new(String::new());
    let failed = |e: io::Error| Failure::usage(format!("Cannot read the value: {e}"));
    if !stdin.is_terminal() {
        stdin.lock().read_to_string(&mut value).map_err(failed)?;
        return Ok(value);
    }
    eprint!("The value of {name}, which is not shown: ");
    let shown = tcgetattr(&stdin).map_err(|e| failed(e.into()))?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &hidden).map_err(|e| failed(e.into()))?;
    let read = stdin.read_line(&mut value);
    tcsetattr(&stdin, OptionalActions::Flush, &shown).map_err(|e| failed(e.into()))?;
    eprintln!();
    read.map_err(failed)?;
    Ok(value)
}
