//! `moxxy config`: prints and checks the configuration. Changes nothing.

use std::path::Path;

use moxxy_server::{
    config::{Config, Flags, Layers, Setting, Source},
    http,
};
use serde_json::json;
use toml::{Table, Value};

use crate::{failure::CliResult, terminal::Terminal};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show what holds for each option, and where it comes from.
    Print,
    /// Find everything that is wrong with the configuration.
    Check,
}

pub(crate) fn run(flags: &Flags, terminal: Terminal, command: &Command) -> CliResult {
    let layers = Layers::read(flags)?;
    let config = Config::from_layers(&layers)?;
    match command {
        Command::Print if terminal.json => terminal.document(&format!("{:#}", json(&layers, &config))),
        Command::Print => terminal.print(&toml(&layers, &config)),
        Command::Check => check(terminal, &layers, &config),
    }
}

/// Formats the configuration as TOML, with the source of each value in a comment.
fn toml(layers: &Layers, config: &Config) -> String {
    let (mut text, mut section) = (String::new(), "");
    for setting in &layers.settings {
        if setting.row.section != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            section = &setting.row.section;
            text.push_str(&format!("{gap}[{section}]\n"));
        }
        let value = Table::from_iter([(setting.row.key.clone(), render(setting, config))]).to_string();
        let source = setting.source.to_string();
        text.push_str(&format!("{} # {}\n", value.trim_end(), source.escape_debug()));
    }
    text
}

fn json(layers: &Layers, config: &Config) -> serde_json::Value {
    let entry = |setting: &Setting| {
        let entries = [("value", render(setting, config)), ("source", Value::String(setting.source.to_string()))];
        Value::Table(entries.map(|(key, value)| (key.to_owned(), value)).into_iter().collect())
    };
    json!(layers.sections(entry))
}

/// Returns the effective value. Hides secrets.
fn render(setting: &Setting, config: &Config) -> Value {
    let path = |path: &Path| Value::String(path.display().to_string());
    match &*setting.row.name() {
        "data.home" => path(&config.data.home),
        "data.cache" => path(&config.data.cache),
        _ if setting.row.format.is_secret() && setting.value.as_str() != Some("") => Value::String("hidden".into()),
        _ => setting.value.clone(),
    }
}

fn check(terminal: Terminal, layers: &Layers, config: &Config) -> CliResult {
    http::check_tls(&config.server)?;
    let file = layers.file.display().to_string();
    let mut read: Vec<_> = layers.file_is_there.then(|| file.clone()).into_iter().collect();
    read.extend(layers.settings.iter().filter_map(|setting| match &setting.source {
        Source::Contents(_, path) => Some(path.display().to_string()),
        _ => None,
    }));
    if terminal.json {
        return terminal.document(&json!({ "read": read, "warnings": config.warnings() }).to_string());
    }
    for warning in config.warnings() {
        terminal.print_status(&format!("moxxy: warning: {warning}"));
    }
    terminal.print(&match &*read {
        [] => format!("The configuration is right. No file was read; {file} does not exist.\n"),
        read => format!("The configuration is right. Read: {}.\n", read.join(", ")),
    })
}
