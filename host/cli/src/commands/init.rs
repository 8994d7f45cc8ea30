//! `moxxy init`: a guided first start.

use std::{
    fs::{self, OpenOptions},
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use moxxy_server::config::{self, Config, Flags, Layers, Source};
use moxxy_system::directory;
use serde_json::json;

use crate::{
    Options,
    commands::tokens::{self, NewToken},
    failure::{CliResult, Exit, Failure},
    terminal::{self, Terminal},
};

const ABOUT: &str =
    "It asks for the data directory, the port, whether programs of yours on this machine need a token, and
whether to begin with a demo agent. It writes `moxxy.toml` into the data directory, and changes nothing
that is there.";

#[derive(Debug, clap::Args)]
#[command(after_help = ABOUT)]
pub(crate) struct Args {
    /// Take the defaults, and do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Every program needs a token, also those of yours on this machine.
    #[arg(long)]
    no_loopback: bool,
    /// Begin without the agent `demo`.
    #[arg(long)]
    no_demo: bool,
}

/// Settings that the user chooses.
struct Choices {
    home: PathBuf,
    port: u16,
    loopback: bool,
    demo: bool,
}

pub(crate) async fn run(options: &Options, args: Args) -> CliResult {
    let terminal = options.terminal();
    if options.config.is_some() {
        return Err(Failure::usage("`moxxy init` writes moxxy.toml in the data directory; --home says where that is"));
    }
    let layers = Layers::read(&options.flags())?;
    let before = Config::from_layers(&layers)?;
    let offered = Choices {
        home: before.data.home.clone(),
        port: before.server.port,
        loopback: before.server.loopback && !args.no_loopback,
        demo: !args.no_demo,
    };
    refuse_second(&offered.home)?;
    let usual = offered.home.clone();
    let chosen = if args.yes { offered } else { ask(offered)? };
    let file = write(&chosen)?;
    // Read the file back, as the server will.
    let config = Config::load(&Flags { home: Some(chosen.home.clone()), ..Flags::default() })?;
    let home = fs::canonicalize(&config.data.home).unwrap_or_else(|_| config.data.home.clone());
    let token = if chosen.loopback { None } else { Some(first_token(&config).await?) };
    if terminal.json {
        return terminal.document(&json!({ "file": file, "home": home, "token": token }).to_string());
    }
    let is_default = layers.setting("data.home").is_some_and(|setting| matches!(setting.source, Source::Default));
    let named = !is_default || chosen.home != usual;
    let mut text = format!("Wrote {}\n", file.display());
    if let Some(token) = &token {
        text += &format!("\nThe first token, which may do everything, is shown only this once:\n{token}\n");
    }
    terminal.print(&(text + &next(&chosen, named.then_some(&*home), token.as_deref())))
}

/// Creates the first token, which can create others, and returns its text.
async fn first_token(config: &Config) -> CliResult<String> {
    let new = NewToken { scopes: vec!["*".into()], description: Some("The first".into()), expires_in_seconds: None };
    let made = tokens::offline(config, new).await.map_err(|failure| {
        let home = shell_quote(&config.data.home);
        let make = format!("moxxy --home {home} token create --offline --scope '*'");
        failure.advise(format!("moxxy.toml was written; what lacks is a token: {make}"))
    })?;
    Ok(terminal::text(&made.value, "token"))
}

fn refuse_second(home: &Path) -> CliResult {
    let file = home.join("moxxy.toml");
    if !file.exists() {
        return Ok(());
    }
    let message = format!("{} is there already; it was not changed", file.display());
    Err(Failure::new(Exit::Failed, "already_there", message).advise("Change it with an editor, or start: moxxy serve"))
}

/// Asks for each setting, with its default.
fn ask(offered: Choices) -> CliResult<Choices> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::usage("There is no terminal to ask questions on; --yes takes the defaults"));
    }
    Terminal { json: false }.print_status("An empty line takes what stands in brackets.\n");
    let home =
        question("Data directory", &offered.home.display().to_string(), |text| Ok(config::expanded(text.into())))?;
    let home = std::path::absolute(&home).unwrap_or(home);
    refuse_second(&home)?;
    let port = question("Port", &offered.port.to_string(), |text| {
        text.parse().map_err(|_| "a port is a number from 0 to 65535, where 0 is any that is free")
    })?;
    let loopback = "May your programs on this machine call it without a token?";
    let loopback = question(loopback, yes_or_no(offered.loopback), yes)?;
    let demo = question("Begin with an agent `demo` that works without a network?", yes_or_no(offered.demo), yes)?;
    Ok(Choices { home, port, loopback, demo })
}

fn question<T>(question: &str, default: &str, parse: impl Fn(&str) -> Result<T, &'static str>) -> CliResult<T> {
    loop {
        let mut err = io::stderr();
        write!(err, "{question} [{default}] ").and_then(|()| err.flush())?;
        let mut answer = String::new();
        if io::stdin().read_line(&mut answer)? == 0 {
            return Err(Failure::new(Exit::Failed, "no_answer", "There was no answer; nothing was written"));
        }
        match parse(Some(answer.trim()).filter(|answer| !answer.is_empty()).unwrap_or(default)) {
            Ok(value) => return Ok(value),
            Err(why) => Terminal { json: false }.print_status(why),
        }
    }
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn yes(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(true),
        "n" | "no" => Ok(false),
        _ => Err("yes or no?"),
    }
}

/// Writes the configuration. Fails if the file exists.
fn write(chosen: &Choices) -> CliResult<PathBuf> {
    let file = chosen.home.join("moxxy.toml");
    let text = format!(
        "# Moxxy's configuration. `config.default.toml` in its source lists every option.\n\n\
         [server]\n\
         # The TCP port on this machine.\n\
         port = {}\n\
         # Whether programs of the server's own user, or of root, on this machine need no token.\n\
         loopback = {}\n",
        json!(chosen.port),
        json!(chosen.loopback),
    );
    let written = directory::make_private(&chosen.home)
        .and_then(|()| OpenOptions::new().write(true).create_new(true).open(&file))
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|e| {
        let message = format!("Cannot write {}: {e}", file.display());
        Failure::new(Exit::Failed, "unwritable", message).advise("--home names another data directory.")
    })?;
    Ok(fs::canonicalize(&file).unwrap_or(file))
}

/// Returns the next commands, to paste into two terminals.
fn next(chosen: &Choices, home: Option<&Path>, token: Option<&str>) -> String {
    let home = home.map(|home| format!("  export MOXXY_HOME={}\n", shell_quote(home))).unwrap_or_default();
    let token = token.map(|token| format!("  export MOXXY_TOKEN={token}\n")).unwrap_or_default();
    let serve = if chosen.demo { "moxxy serve --demo" } else { "moxxy serve" };
    let begin = match chosen.demo {
        true => "  moxxy run demo 'Count the words in \"the quick brown fox\"'\n",
        false => "  moxxy provider install offline\n  moxxy agent create ada --provider offline --model planner\n",
    };
    format!("\nNext:\n{home}  {serve}\nand, while it runs, in another terminal:\n{home}{token}{begin}")
}

/// Quotes a path for a shell.
pub(crate) fn shell_quote(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}
