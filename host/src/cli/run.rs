//! `moxxy run`: starts a run and shows what happens until it ends.

use std::io::Write as _;

use futures_util::StreamExt as _;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::client::Client;
use crate::{
    config::Flags,
    error::{Error, Problem, Result},
    ids::Name,
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The agent's name.
    agent: String,
    /// What it is to do.
    task: String,
    /// The conversation to go on with (default: `default`).
    #[arg(long)]
    session: Option<String>,
}

/// Reads server-sent events, one line each.
struct Events {
    response: futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    buffer: Vec<u8>,
}

pub async fn run(flags: Flags, args: Args) -> Result<()> {
    let agent = Name::try_from(args.agent)?;
    let client = Client::new(&flags)?;
    // Listening begins before the run, so that no piece of the answer is missed.
    let path = format!("/v1/events/stream?agent_id={agent}");
    let mut events = Events::new(client.send(client.request(Method::GET, &path)).await?);
    let body = match &args.session {
        Some(session) => json!({ "task": args.task, "session": session }),
        None => json!({ "task": args.task }),
    };
    let start = client.request(Method::POST, &format!("/v1/agents/{agent}/runs")).json(&body);
    let run = client.json(start).await?;
    let run_id = run.get("run_id").cloned().unwrap_or_default();
    while let Some(event) = events.next().await? {
        if event.get("run_id") == Some(&run_id) && show(&event)? {
            return Ok(());
        }
    }
    Err(Error::unavailable(
        "stream_ended",
        format!("The server stopped; the run {run_id} goes on when it starts again"),
    ))
}

/// Shows an event; `true` when it is the run's last.
fn show(event: &Value) -> Result<bool> {
    let text = |key: &str| event.pointer(&format!("/payload/{key}")).and_then(Value::as_str).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    match event.get("event_type").and_then(Value::as_str).unwrap_or_default() {
        "message.delta" => write!(out, "{}", text("text")).and_then(|()| out.flush()).map_err(Error::internal)?,
        "skill.invoked" => eprintln!("[{} {}]", text("skill_id"), text("tool")),
        "skill.failed" => eprintln!("[{} {} failed: {}]", text("skill_id"), text("tool"), text("message")),
        "run.completed" => {
            writeln!(out).map_err(Error::internal)?;
            return Ok(true);
        }
        "run.failed" => return Err(Error::Said(Problem::new(text("code").to_owned(), text("message")))),
        "run.cancelled" => return Err(Error::conflict("run_cancelled", "The run was stopped")),
        _ => {}
    }
    Ok(false)
}

impl Events {
    fn new(response: Response) -> Self {
        Self { response: response.bytes_stream().boxed(), buffer: Vec::new() }
    }

    async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if let Some(data) = line.strip_prefix(b"data:") {
                    return serde_json::from_slice(data).map(Some).map_err(Error::internal);
                }
            }
            match self.response.next().await {
                Some(bytes) => self.buffer.extend(bytes.map_err(Error::internal)?),
                None => return Ok(None),
            }
        }
    }
}
