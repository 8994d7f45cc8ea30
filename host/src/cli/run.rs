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
    let mut screen = Screen::default();
    while let Some(event) = events.next().await? {
        if event.get("run_id") == Some(&run_id) && screen.show(&event)? {
            return Ok(());
        }
    }
    Err(Error::unavailable(
        "stream_ended",
        format!("The server stopped; the run {run_id} goes on when it starts again"),
    ))
}

/// What was printed of the message that is coming in.
#[derive(Default)]
struct Screen(String);

impl Screen {
    /// Shows an event; `true` when it is the run's last.
    fn show(&mut self, event: &Value) -> Result<bool> {
        let text = |key: &str| event.pointer(&format!("/payload/{key}")).and_then(Value::as_str).unwrap_or_default();
        match event.get("event_type").and_then(Value::as_str).unwrap_or_default() {
            "message.delta" => {
                print(text("text"))?;
                self.0.push_str(text("text"));
            }
            // Pieces may have been missed: the whole message has them.
            "message.assistant" if !text("content").is_empty() => {
                print(text("content").strip_prefix(self.0.as_str()).unwrap_or_default())?;
                print("\n")?;
                self.0.clear();
            }
            "skill.invoked" => eprintln!("[{} {}]", text("skill_id"), text("tool")),
            "skill.failed" => eprintln!("[{} {} failed: {}]", text("skill_id"), text("tool"), text("message")),
            "run.completed" => return Ok(true),
            "run.failed" => return Err(Error::Said(Problem::new(text("code").to_owned(), text("message")))),
            "run.cancelled" => return Err(Error::conflict("run_cancelled", "The run was stopped")),
            _ => {}
        }
        Ok(false)
    }
}

fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    write!(out, "{text}").and_then(|()| out.flush()).map_err(Error::internal)
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
