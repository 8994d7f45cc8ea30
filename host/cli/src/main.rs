//! Command line: parses the arguments and runs the command.
//!
//! `serve` and `compile` are the server. `init`, `new`, `build`, `inspect`, `vault`, `backup`, `restore`,
//! `completions`, `openapi`, `version` and `provider check` of a file work without a server. Most other commands
//! call the REST API.

mod arguments;
mod client;
mod commands;
mod component;
mod connect;
mod failure;
mod hints;
mod limits;
mod progress;
mod sdk;
mod settings;
mod stream;
mod terminal;

use std::{fs::File, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use serde_json::json;

use commands::{
    agents, audit, backup, build, completions, components, config, events, grants, health, init, inspect, jobs, new,
    policy, providers, questions, restore, retention, runs, secrets, serve, skills, tokens, vault,
};
use failure::{CliResult, Exit, Failure};
use moxxy_runtime::compile;
use moxxy_server::{config::Flags, http};
use moxxy_types::error::Error;
use terminal::Terminal;
use tikv_jemallocator::Jemalloc;

/// Returns memory to the system after a peak: one second after its last use, as `.cargo/config.toml` sets.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

const BEGIN: &str = "To begin:
  moxxy init                        # asks a few questions
  moxxy serve --demo                # starts the server, with an agent to play with
  moxxy run demo 'Count the words in \"the quick brown fox\"'";

/// A self-hosted server for AI agents made of sandboxed WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "moxxy", version)]
#[command(after_help = format!("{BEGIN}\n\nExit codes:{}", Exit::table()))]
pub struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of every command")]
struct Options {
    /// The server to talk to (default: MOXXY_URL, or the one on this machine).
    #[arg(long, global = true)]
    url: Option<String>,
    /// A file with the token to show (default: MOXXY_TOKEN, or the file MOXXY_TOKEN_FILE); a flag with
    /// its text would show it to everybody who lists processes.
    #[arg(long, global = true, value_name = "FILE", value_parser = arguments::path())]
    token_file: Option<PathBuf>,
    /// The certificate of the authority to trust, in PEM (default: MOXXY_CA, or the system's).
    #[arg(long, global = true, value_name = "FILE", value_parser = arguments::path())]
    ca: Option<PathBuf>,
    /// Print what the server answers, as JSON.
    #[arg(long, global = true)]
    json: bool,
    /// The port to listen on, or of the server on this machine (default: MOXXY_PORT, or 3000).
    #[arg(long, global = true)]
    port: Option<u16>,
    /// The data directory (default: MOXXY_HOME, or `moxxy` in the platform's data directory).
    #[arg(long, global = true, value_name = "DIRECTORY", value_parser = arguments::path())]
    home: Option<PathBuf>,
    /// The configuration file (default: `moxxy.toml` in the data directory).
    #[arg(long, global = true, value_name = "FILE", value_parser = arguments::path())]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prepare a first start: a data directory and a configuration.
    Init(init::Args),
    /// Start the server.
    Serve(serve::Args),
    /// Make, change and look at agents.
    #[command(subcommand)]
    Agent(agents::Command),
    /// Give an agent a task and show its answer as it comes; look at its runs.
    Run(runs::Args),
    /// See what runs ask, and answer it.
    #[command(subcommand)]
    Question(questions::Command),
    /// Say what an agent's model may call, and what a person is asked about first.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Install, look at and call the skills of an agent.
    #[command(subcommand)]
    Skill(skills::Command),
    /// Install components of any kind for the server, and enable skills for agents.
    #[command(subcommand)]
    Component(components::Command),
    /// Install and configure providers of language models.
    #[command(subcommand)]
    Provider(providers::Command),
    /// Keep and rotate the secrets that components may be granted.
    #[command(subcommand)]
    Secret(secrets::Command),
    /// Let components use secrets, and take that back.
    #[command(subcommand)]
    Grant(grants::Command),
    /// Rotate and check the master key that secrets are sealed by.
    #[command(subcommand)]
    Vault(vault::Command),
    /// Say who did what, and whether that log is as it was written.
    #[command(subcommand)]
    Audit(audit::Command),
    /// List, show, retry and delete jobs.
    #[command(subcommand)]
    Job(jobs::Command),
    /// Show how long data is kept, and what would be removed now.
    Retention(retention::Args),
    /// Write the database and the components into one file, while the server runs or not.
    Backup(backup::Args),
    /// Make a data directory of a backup, and activate it.
    Restore(restore::Args),
    /// Make, list and revoke the tokens that the server answers to.
    #[command(subcommand)]
    Token(tokens::Command),
    /// Follow what happens on the server.
    Events(events::Args),
    /// Say whether the server is well.
    #[command(visible_alias = "status")]
    Health,
    /// Show the configuration, and find what is wrong with it.
    #[command(subcommand)]
    Config(config::Command),
    /// Make a crate to begin with, in a folder of its name.
    New(new::Args),
    /// Build a component of a crate, as small and fast as they come.
    Build(build::Args),
    /// Show what a component is and asks for, as an install would find it.
    Inspect(inspect::Args),
    /// Print a script that completes commands in your shell.
    Completions(completions::Args),
    /// Print the OpenAPI document of the REST API.
    Openapi,
    /// Print the version.
    Version,
    /// Compile a component; the server calls this for itself.
    #[command(hide = true)]
    Compile(compile::Task),
}

impl Options {
    fn flags(&self) -> Flags {
        Flags { file: self.config.clone(), home: self.home.clone(), port: self.port, listen: None }
    }

    /// Checks that the file of `--config` is readable.
    fn check(&self) -> CliResult {
        let Some(file) = &self.config else { return Ok(()) };
        let unreadable = |e| Failure::usage(format!("--config: cannot read {}: {e}", file.display()));
        File::open(file).map(drop).map_err(unreadable)
    }

    fn terminal(&self) -> Terminal {
        Terminal { json: self.json }
    }
}

/// Parses the process's arguments and runs the command. [`failure`] defines the exit codes.
fn main() -> ExitCode {
    let parsed = match Cli::try_parse() {
        Ok(cli) => return cli.run(),
        Err(parsed) => parsed,
    };
    if parsed.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
        return ended(Terminal { json: true }, Err(parsed.into()));
    }
    parsed.exit()
}

impl Cli {
    fn run(self) -> ExitCode {
        let options = self.options;
        let (flags, terminal) = (options.flags(), options.terminal());
        if let Err(unreadable) = options.check() {
            return ended(terminal, Err(unreadable));
        }
        let done = match self.command {
            // It limits its own memory and time, so the process must not start anything else.
            Command::Compile(task) => return compile::run(&task),
            Command::Init(args) => block_on(init::run(&options, args)),
            Command::Serve(args) => block_on(serve::run(flags, args)),
            Command::Agent(command) => block_on(agents::run(&options, command)),
            Command::Run(args) => block_on(runs::run(&options, args)),
            Command::Question(command) => block_on(questions::run(&options, command)),
            Command::Policy(command) => block_on(policy::run(&options, command)),
            Command::Component(command) => block_on(components::run(&options, command)),
            Command::Skill(command) => block_on(skills::run(&options, command)),
            Command::Provider(command) => block_on(providers::run(&options, command)),
            Command::Secret(command) => block_on(secrets::run(&options, command)),
            Command::Grant(command) => block_on(grants::run(&options, command)),
            Command::Vault(command) => block_on(vault::run(&flags, terminal, command)),
            Command::Audit(command) => block_on(audit::run(&options, &flags, command)),
            Command::Job(command) => block_on(jobs::run(&options, command)),
            Command::Retention(args) => block_on(retention::run(&options, args)),
            Command::Backup(args) => block_on(backup::run(&flags, terminal, args)),
            Command::Restore(args) => block_on(restore::run(&flags, terminal, args)),
            Command::Token(command) => block_on(tokens::run(&options, command)),
            Command::Events(args) => block_on(events::run(&options, args)),
            Command::Health => block_on(health::run(&options)),
            Command::Config(command) => config::run(&flags, terminal, &command),
            Command::New(args) => new::run(&flags, terminal, args),
            Command::Build(args) => block_on(build::run(flags, terminal, args)),
            Command::Inspect(args) => block_on(inspect::run(flags, terminal, args)),
            Command::Completions(args) => completions::run(terminal, &args),
            Command::Openapi => terminal.document(&format!("{:#}", http::document())),
            Command::Version => version(terminal),
        };
        ended(terminal, done)
    }
}

fn ended(terminal: Terminal, done: CliResult) -> ExitCode {
    let Err(failure) = done else { return Exit::Success.into() };
    if let Some(said) = failure.render(terminal.json) {
        terminal.print_status(&said);
    }
    failure.exit.into()
}

fn block_on<E: Into<Failure>>(work: impl Future<Output = Result<(), E>>) -> CliResult {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::internal)?;
    runtime.block_on(work).map_err(Into::into)
}

fn version(terminal: Terminal) -> CliResult {
    let version = env!("CARGO_PKG_VERSION");
    match terminal.json {
        true => terminal.document(&json!({ "version": version }).to_string()),
        false => terminal.print(&format!("moxxy {version}\n")),
    }
}
