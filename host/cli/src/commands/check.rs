//! `moxxy provider check`: runs the conformance suite on a local component or on a provider of a server.

use std::{fs, path::PathBuf};

use moxxy_conformance::{self as conformance, ProtocolProfile};
use moxxy_server::{config::Config, services::source};
use moxxy_types::components::World;
use serde_json::{Value, json};

use crate::{
    Options,
    client::{Call, Client},
    commands::inspect,
    component::Source,
    failure::{CliResult, Exit, Failure},
    progress,
    settings::Settings,
    terminal::{Terminal, text},
};

pub(crate) const CHECKING: &str = "Examples:
  moxxy provider check openai                    # a component that comes with the server
  moxxy provider check mine.wasm                 # a file; the service that it talks to is known by what it asks
  moxxy provider check mine.wasm --wire wire.toml --set region=eu
  moxxy provider check mine --installed          # a provider of the server, as it is configured there";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A component's file, the name of one that comes with the server, or else an installed provider.
    component: String,
    /// What the component talks: `openai`, `anthropic`, `ollama`, or a file that describes another wire.
    #[arg(long, value_name = "NAME|FILE")]
    wire: Option<String>,
    /// It is the name of a provider of the server, even if there is a file of that name.
    #[arg(long, conflicts_with_all = ["set", "settings"])]
    installed: bool,
    #[command(flatten)]
    config: Settings,
}

pub(crate) async fn run(options: &Options, args: Args) -> CliResult {
    let wire = args.wire.as_deref().map(content).transpose()?;
    if let (false, Some(component)) = (args.installed, local(options, &args.component)?) {
        return check_locally(options, component, wire, args.config).await;
    }
    if !args.installed {
        let about = "There is no such file, and no such provider comes with the server; asking the server for";
        options.terminal().note(&format!("{about} `{}`.", args.component));
    }
    let path = format!("/v1/providers/{}/check", crate::arguments::name(&args.component).map_err(Failure::usage)?);
    let client = Client::new(options)?;
    let checking = client.answer(Call::post(path).json(json!({ "wire": wire })));
    let answer = progress::with_spinner(format!("Checking {}", args.component), checking).await?;
    options.terminal().show(&answer, |report| text(report, "text"))?;
    exit_status(&answer.value)
}

/// Returns the content of a file, or the name unchanged.
fn content(wire: &str) -> CliResult<String> {
    let path = PathBuf::from(wire);
    if !path.is_file() && !wire.contains(['/', '.']) {
        return Ok(wire.to_owned());
    }
    let unreadable = |e| Failure::usage(format!("Cannot read the wire {wire}: {e}"));
    Ok(fs::read_to_string(path).map_err(unreadable)? + "\n")
}

/// Returns the component if it is a file or bundled.
fn local(options: &Options, component: &str) -> CliResult<Option<Vec<u8>>> {
    Ok(match Source::from_argument(component)? {
        Source::File(bytes) => Some(bytes),
        Source::Bundled(name) => {
            let limit = Config::load(&options.flags())?.server.upload_limit;
            source::Source::Bundled(name).bytes(limit, &[], Some(World::Provider)).ok()
        }
    })
}

/// Runs the check without a server.
async fn check_locally(options: &Options, component: Vec<u8>, wire: Option<String>, config: Settings) -> CliResult {
    let (wire, config) = (wire.as_deref().map(ProtocolProfile::load).transpose()?, config.over(Default::default())?);
    let checking = async {
        let admitted = inspect::admit(&options.flags(), component).await?;
        conformance::check(&admitted.plugins, &admitted.prepared.description, config, wire).await
    };
    let report = progress::with_spinner("Checking".to_owned(), checking).await?;
    let terminal: Terminal = options.terminal();
    match terminal.json {
        true => terminal.document(&json!(report).to_string())?,
        false => terminal.print(&report.text)?,
    }
    exit_status(&json!(report))
}

/// Fails if a case failed.
fn exit_status(report: &Value) -> CliResult {
    match report.get("failed").and_then(Value::as_u64) {
        Some(0) => Ok(()),
        failed => {
            let cases = if failed == Some(1) { "case" } else { "cases" };
            let message = format!("{} {cases} failed", failed.unwrap_or_default());
            Err(Failure::new(Exit::Failed, "cases_failed", message))
        }
    }
}
