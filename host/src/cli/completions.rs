//! `moxxy completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, failure::Done, terminal::Terminal};

const INSTALLING: &str = "Put it where your shell finds it:
  bash  moxxy completions bash > ~/.local/share/bash-completion/completions/moxxy
  zsh   moxxy completions zsh > ~/.zfunc/_moxxy     # with `fpath+=~/.zfunc` before `compinit`
  fish  moxxy completions fish > ~/.config/fish/completions/moxxy.fish";

#[derive(Debug, clap::Args)]
#[command(after_help = INSTALLING)]
pub struct Args {
    /// The shell.
    shell: Shell,
}

pub fn run(terminal: Terminal, args: &Args) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "moxxy", &mut script);
    terminal.print(&String::from_utf8_lossy(&script))
}
