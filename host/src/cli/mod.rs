//! The command line. `serve` and `compile` are the server; `new`, `build` and `inspect` need none;
//! the others talk to one.

mod build;
mod client;
mod config;
mod inspect;
mod new;
mod run;
mod sdk;
mod serve;
mod skill;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{
    config::Flags,
    error::{Error, Result},
    plugins::compile,
};

/// A self-hosted server for AI agents made of sandboxed WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "moxxy", version, propagate_version = true)]
pub struct Cli {
    /// The configuration file (default: `moxxy.toml` in the data directory).
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory (default: MOXXY_HOME, or `moxxy` in the platform's data directory).
    #[arg(long, global = true, value_name = "DIRECTORY")]
    home: Option<PathBuf>,
    /// The port to listen on, or of the server to talk to (default: MOXXY_PORT, or 3000).
    #[arg(long, global = true)]
    port: Option<u16>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server.
    Serve(serve::Args),
    /// Give an agent a task and show its answer as it comes.
    Run(run::Args),
    /// Install, list and call the skills of an agent.
    #[command(subcommand)]
    Skill(skill::Command),
    /// Show the configuration, and find what is wrong with it.
    #[command(subcommand)]
    Config(config::Command),
    /// Make a crate to begin with, in a folder of its name.
    New(new::Args),
    /// Build a component of a crate, as small and fast as they come.
    Build(build::Args),
    /// Show what a component is and asks for, as an install would find it.
    Inspect(inspect::Args),
    /// Compile a component; the server calls this for itself.
    #[command(hide = true)]
    Compile(compile::Task),
}

impl Cli {
    /// Runs the command. 0 on success, 1 on failure, 2 if the command line is wrong.
    pub fn run(self) -> ExitCode {
        let flags = Flags { file: self.config, home: self.home, port: self.port, ..Flags::default() };
        let done = match self.command {
            // It limits its own memory and time, so nothing else may be started in it.
            Command::Compile(task) => return compile::run(&task),
            Command::Serve(args) => block_on(serve::run(flags, args)),
            Command::Run(args) => block_on(run::run(flags, args)),
            Command::Config(command) => config::run(&flags, &command),
            Command::New(args) => new::run(&flags, args),
            Command::Build(args) => block_on(build::run(flags, args)),
            Command::Inspect(args) => block_on(inspect::run(flags, args)),
            Command::Skill(command) => block_on(skill::run(flags, command)),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("moxxy: {}", explained(&error));
                ExitCode::FAILURE
            }
        }
    }
}

fn block_on(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::internal)?.block_on(work)
}

/// For the person at the command line, who is the one that can look into an inner error.
fn explained(error: &Error) -> String {
    match error {
        Error::Internal(source) => source.to_string(),
        other => other.to_string(),
    }
}
