//! `moxxy completions`: prints completion scripts for shells.

use clap::{CommandFactory as _, builder::PossibleValuesParser};
use clap_complete::Shell;
use moxxy_types::tokens::Scope;

use crate::{Cli, failure::CliResult, terminal::Terminal};

const INSTALLING: &str = "Put it where your shell finds it:
  bash  moxxy completions bash > ~/.local/share/bash-completion/completions/moxxy
  zsh   moxxy completions zsh > ~/.zfunc/_moxxy     # with `fpath+=~/.zfunc` before `compinit`
  fish  moxxy completions fish > ~/.config/fish/completions/moxxy.fish";

/// Bash splits words at the colon of a scope. This function joins the parts before the completion, and removes
/// the part up to the colon from the results.
const BASH: &str = r#"
_moxxy_whole_words() {
    local line=${COMP_LINE:0:COMP_POINT} typed= before
    local word=${line##*[[:space:]=]}
    read -ra before <<< "${line%"$word"}"
    [[ $COMP_WORDBREAKS == *:* && $word == *:* ]] && typed=${word%"${word##*:}"}
    local last=$((${#before[@]} - 1))
    _moxxy "$1" "$word" "${before[last]%=}"
    COMPREPLY=("${COMPREPLY[@]#"$typed"}")
}
complete -F _moxxy_whole_words -o bashdefault -o default moxxy
"#;

#[derive(Debug, clap::Args)]
#[command(after_help = INSTALLING)]
pub(crate) struct Args {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(terminal: Terminal, args: &Args) -> CliResult {
    // Not `*`, which a shell replaces with file names.
    let scopes = Scope::NAMES.iter().filter(|name| **name != Scope::All.name());
    let scopes = PossibleValuesParser::new(scopes);
    let mut command = Cli::command().mut_subcommand("token", |token| {
        token.mut_subcommand("create", |create| create.mut_arg("scopes", |scope| scope.value_parser(scopes)))
    });
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "moxxy", &mut script);
    if args.shell == Shell::Bash {
        script.extend(BASH.as_bytes());
    }
    terminal.print(&String::from_utf8_lossy(&script))
}
