//! The `moxxy` binary.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    moxxy::cli::Cli::parse().run()
}
