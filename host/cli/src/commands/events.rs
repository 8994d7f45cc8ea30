//! `moxxy events`: prints the server's events as they occur.

use moxxy_types::ids::{Name, RunId};
use serde_json::Value;

use crate::{
    Options, arguments,
    client::{Call, Client},
    failure::CliResult,
    stream::{SseEvent, Stream},
    terminal::{self, text, time},
};

const EXAMPLES: &str = "Examples:
  moxxy events                                   # what happens from now on
  moxxy events --agent demo --type 'run.*'
  moxxy events --after 0 --limit 20              # the first that the server keeps

With --json, each line is an event. Pieces of answers (message.delta) have no place in the log.";
/// Maximum width of the payload, in columns.
const PAYLOAD: usize = 160;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only of this agent. Can stand more than once, as can the next two.
    #[arg(long, value_name = "NAME", value_parser = arguments::name)]
    agent: Vec<Name>,
    /// Only of this run.
    #[arg(long, value_name = "RUN", value_parser = arguments::run)]
    run: Vec<RunId>,
    /// Only of this type, such as `run.completed` or `skill.*`.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Begin behind this place in the log; 0 is its beginning (default: what happens from now on).
    #[arg(long, value_name = "PLACE")]
    after: Option<u64>,
    /// End after so many.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
}

pub(crate) async fn run(options: &Options, args: Args) -> CliResult {
    let (client, terminal) = (Client::new(options)?, options.terminal());
    let mut call = Call::get("/v1/events/stream");
    call = args.agent.iter().fold(call, |call, agent| call.query("agent_id", agent.as_str()));
    call = args.run.iter().fold(call, |call, run| call.query("run_id", run.as_str()));
    call = args.types.into_iter().fold(call, |call, kind| call.query("event_type", kind));
    if let Some(after) = args.after {
        call = call.query("after", after.to_string());
    }
    let mut events = Stream::open(&client, call).await?;
    if terminal::is_watched() && args.after.is_none() {
        terminal.note("Waiting for what happens; Ctrl-C ends it.");
    }
    let mut last = args.after.map(|after| after.to_string());
    for _ in 0..args.limit.unwrap_or(u64::MAX) {
        let sent = events.next().await.map_err(|ended| match &last {
            Some(place) => ended.advise(format!("Go on with --after {place}.")),
            None => ended,
        })?;
        match terminal.json {
            true => terminal.document(&sent.text)?,
            false => terminal.print(&line(&sent))?,
        }
        last = sent.position.or(last);
    }
    Ok(())
}

/// Formats an event as one line.
fn line(sent: &SseEvent) -> String {
    let event = &sent.value;
    let payload = event.get("payload").and_then(Value::as_object);
    let payload: Vec<_> = payload.into_iter().flatten().map(|(name, value)| format!("{name}={value}")).collect();
    let place = sent.position.as_deref().unwrap_or("-");
    let parts = [
        format!("{place:>6}"),
        time(event, "timestamp"),
        format!("{:<18}", text(event, "event_type")),
        text(event, "agent_id"),
        text(event, "run_id"),
        terminal::line(&payload.join(" "), PAYLOAD),
    ];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("  ") + "\n"
}
