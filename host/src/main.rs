//! The `moxxy` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    moxxy::cli::run()
}
