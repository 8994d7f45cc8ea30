//! Parsers of command-line values: names, IDs, durations and settings.

use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};
use moxxy_server::config;
use moxxy_types::ids::{Name, RunId, SecretName};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::failure::{CliResult, Failure};

/// Parses a path and expands `~`, because not every shell does so in `--home=~/moxxy`.
pub(crate) fn path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().map(config::expanded)
}

pub(crate) fn name(text: &str) -> Result<Name, String> {
    Name::try_from(text.to_owned()).map_err(|e| e.to_string())
}

/// Parses a model of a provider, given as `PROVIDER/MODEL`.
pub(crate) fn model(text: &str) -> Result<Value, String> {
    let (provider, model) = text.split_once('/').ok_or("it is a provider and a model, as `PROVIDER/MODEL`")?;
    Ok(json!({ "provider": name(provider)?, "model": model }))
}

pub(crate) fn secret(text: &str) -> Result<SecretName, String> {
    SecretName::try_from(text.to_owned()).map_err(|e| e.to_string())
}

pub(crate) fn run(text: &str) -> Result<RunId, String> {
    RunId::try_from(text.to_owned()).map_err(|e| format!("{e}, as `moxxy run list` shows it"))
}

pub(crate) fn token(text: &str) -> Result<String, String> {
    id(text, "tok_", "moxxy token list")
}

pub(crate) fn grant(text: &str) -> Result<String, String> {
    id(text, "grt_", "moxxy grant list")
}

pub(crate) fn installation(text: &str) -> Result<String, String> {
    id(text, "ins_", "moxxy component list")
}

pub(crate) fn job(text: &str) -> Result<String, String> {
    id(text, "job_", "moxxy job list")
}

pub(crate) fn question(text: &str) -> Result<String, String> {
    id(text, "ask_", "moxxy question list")
}

fn id(text: &str, prefix: &str, shown_by: &str) -> Result<String, String> {
    let valid = text.strip_prefix(prefix).is_some_and(|id| Uuid::try_parse(id).is_ok());
    if valid { Ok(text.to_owned()) } else { Err(format!("it is `{prefix}` and a UUID, as `{shown_by}` shows it")) }
}

/// Parses a duration such as `90s`, `15m`, `12h`, `30d` or `4w`. Returns seconds.
pub(crate) fn duration(text: &str) -> Result<u64, String> {
    let seconds = humantime::parse_duration(text).map_or(0, |duration| duration.as_secs());
    if seconds > 0 { Ok(seconds) } else { Err("it is a number and a unit: 90s, 15m, 12h, 30d, 4w".to_owned()) }
}

/// Parses `KEY=VALUE`. The value is JSON if it parses as JSON, and a string otherwise.
pub(crate) fn setting(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("it is KEY=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((key.to_owned(), value))
}

/// Parses a JSON object, given as text or as the path of a file.
pub(crate) fn object(text: &str) -> CliResult<Map<String, Value>> {
    let wrong = |why: String| Failure::usage(format!("{text:?} is no JSON object: {why}"));
    let read = || std::fs::read_to_string(text).map_err(|e| wrong(format!("it is not a file either: {e}")));
    let json = if text.trim_start().starts_with('{') { text.to_owned() } else { read()? };
    serde_json::from_str(&json).map_err(|e| wrong(e.to_string()))
}
