//! `moxxy run`: starts a run and shows its events until it ends. Also lists, shows and stops runs.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use moxxy_types::{
    error::Error,
    ids::{Name, RunId},
};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    Options, arguments,
    client::{self, Call, Client},
    failure::{CliResult, Exit, Failure},
    progress::{self, Progress},
    stream::{SseEvent, Stream},
    terminal::{self, Terminal, text, time},
};

const EXAMPLES: &str = "Examples:
  moxxy run demo 'Count the words in \"the quick brown fox\"'
  moxxy run demo --session letters 'Shorten the last one'
  moxxy run demo --schema person.json 'Invent a person'
  moxxy run list demo
  moxxy run start demo 'Take your time' --detach

A token needs the scopes `runs:write` and `events:read` for this, and `agents:read` for `list` and `show`.
An agent whose name is `start`, `list`, `show`, `stop` or `help` is given a task with `moxxy run start`.";

/// Maximum width of a question, in columns.
const SHOWN: usize = 2000;

/// Names of the subcommands, which are not agents in the first position.
const COMMANDS: [&str; 5] = ["start", "list", "show", "stop", "help"];

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    start: Option<Start>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Give an agent a task and show its answer as it comes; the same as `moxxy run AGENT TASK`.
    Start(Start),
    /// List an agent's runs, newest first.
    List {
        /// The agent's name.
        #[arg(value_parser = arguments::name)]
        agent: Name,
        /// How many at most.
        #[arg(long, default_value_t = 100, value_name = "NUMBER")]
        limit: usize,
    },
    /// Show a run with its steps and what it used.
    Show {
        /// The agent's name.
        #[arg(value_parser = arguments::name)]
        agent: Name,
        /// The run's id.
        #[arg(value_parser = arguments::run)]
        run: RunId,
    },
    /// Tell a run to stop; it ends with its step.
    Stop {
        /// The agent's name.
        #[arg(value_parser = arguments::name)]
        agent: Name,
        /// The run's id.
        #[arg(value_parser = arguments::run)]
        run: RunId,
        /// End it at once, in the middle of its step.
        #[arg(long)]
        now: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Start {
    /// The agent's name.
    #[arg(value_parser = arguments::name)]
    agent: Name,
    /// What it is to do; `-` reads it from standard input.
    task: String,
    /// The conversation to go on with (default: `default`).
    #[arg(long, value_name = "NAME", value_parser = arguments::name)]
    session: Option<Name>,
    /// File with a JSON Schema that the answer has to fit; prints the answer as JSON, and nothing before it.
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Print the run's id and do not wait for the answer.
    #[arg(long, short)]
    detach: bool,
}

pub(crate) async fn run(options: &Options, args: Args) -> CliResult {
    // After an option, clap does not look for a subcommand.
    if let Some(Start { agent, .. }) = args.start.as_ref().filter(|start| COMMANDS.contains(&start.agent.as_str())) {
        let message = format!("Options stand behind the command, as in `moxxy run {agent} … --json`");
        let advice = format!("For an agent of that name: moxxy run start {agent} TASK");
        return Err(Failure::usage(message).advise(advice));
    }
    let (client, terminal) = (Client::new(options)?, options.terminal());
    match args.command.or(args.start.map(Command::Start)) {
        Some(Command::Start(start)) if start.detach => detached(&client, terminal, &start).await,
        Some(Command::Start(start)) => followed(&client, terminal, &start).await,
        Some(Command::List { agent, limit }) => list(&client, terminal, &agent, limit).await,
        Some(Command::Show { agent, run }) => {
            let run = client.answer(Call::get(format!("/v1/agents/{agent}/runs/{run}"))).await?;
            terminal.show(&run, detail)
        }
        Some(Command::Stop { agent, run, now }) => {
            let stop = Call::post(format!("/v1/agents/{agent}/runs/{run}/stop")).json(json!({ "mode": mode(now) }));
            let answer = progress::with_spinner("Stopping", client.answer(stop)).await?;
            terminal.show(&answer, |run| stopped(run, now))
        }
        None => Err(Failure::usage("Whom to give which task? `moxxy run --help` shows it")),
    }
}

/// Returns the stop mode for the API.
pub(crate) fn mode(now: bool) -> &'static str {
    if now { "now" } else { "step" }
}

/// Describes the state of a run after a stop request.
fn stopped(run: &Value, now: bool) -> String {
    match &*text(run, "status") {
        "queued" | "running" | "waiting" if now => "The run was told to stop at once, but has not ended yet.\n".into(),
        "queued" | "running" | "waiting" => {
            "The run was told to stop; it ends with its step. With --now it ends at once.\n".into()
        }
        status => format!("The run is {status}.\n"),
    }
}

fn call(start: &Start) -> CliResult<Call> {
    let mut task = start.task.clone();
    if task == "-" {
        task.clear();
        let read = std::io::stdin().read_to_string(&mut task);
        read.map_err(|e| Failure::usage(format!("Cannot read the task from standard input: {e}")))?;
    }
    let schema = start.schema.as_deref().map(read_schema).transpose()?;
    let options = [("session", start.session.as_ref().map(|name| json!(name))), ("output_schema", schema)];
    let mut body = json!({ "task": task });
    for (name, value) in options {
        if let (Some(value), Value::Object(body)) = (value, &mut body) {
            body.insert(name.into(), value);
        }
    }
    Ok(Call::post(format!("/v1/agents/{}/runs", start.agent)).json(body))
}

fn read_schema(file: &Path) -> CliResult<Value> {
    let text = fs::read_to_string(file);
    let text = text.map_err(|e| Failure::usage(format!("Cannot read the schema {}: {e}", file.display())))?;
    serde_json::from_str(&text).map_err(|e| Failure::usage(format!("{} is not JSON: {e}", file.display())))
}

async fn detached(client: &Client, terminal: Terminal, start: &Start) -> CliResult {
    let answer = client.answer(call(start)?).await?;
    terminal.show(&answer, |run| text(run, "run_id") + "\n")
}

async fn followed(client: &Client, terminal: Terminal, start: &Start) -> CliResult {
    let call = call(start)?;
    // Subscribe before the run starts, so that no part of the answer is missed.
    let events = Call::get("/v1/events/stream").query("agent_id", start.agent.as_str());
    let mut events = Stream::open(client, events).await?;
    let run_id = text(&client.answer(call).await?.value, "run_id");
    let (agent, progress) = (start.agent.clone(), Progress::new("Working"));
    let mut screen = Screen { terminal, is_whole: start.schema.is_some(), pending: String::new(), progress, agent };
    screen.progress.visible &= !terminal.json;
    let watched = watch(&mut screen, &mut events, &start.agent, &run_id).await;
    if watched.is_err() && !screen.pending.is_empty() {
        terminal.print("\n")?;
    }
    watched
}

/// Shows events until the last one of the run.
async fn watch(screen: &mut Screen, events: &mut Stream, agent: &Name, run_id: &str) -> CliResult {
    let mut interrupts = signal(SignalKind::interrupt()).map_err(Error::internal)?;
    loop {
        screen.progress.pause(!screen.pending.is_empty());
        let next = async {
            tokio::select! {
                sent = events.next() => sent,
                _ = interrupts.recv() => Err(Failure::new(Exit::Interrupted, "interrupted", "You stopped watching")),
            }
        };
        let next = screen.progress.with_spinner(next).await;
        let sent = next.map_err(|gone| gone.advise(goes_on(agent, run_id)))?;
        if text(&sent.value, "run_id") == run_id && screen.show(&sent)? {
            return Ok(());
        }
    }
}

fn goes_on(agent: &Name, run: &str) -> String {
    format!("The run goes on.\n  See it:   moxxy run show {agent} {run}\n  Stop it:  moxxy run stop {agent} {run}")
}

/// Display of a run.
struct Screen {
    terminal: Terminal,
    /// Whether the answer is shown as a whole at the end, because only that one fits the schema.
    is_whole: bool,
    /// Part of the incoming message that was printed already.
    pending: String,
    progress: Progress,
    agent: Name,
}

impl Screen {
    /// Shows an event. Returns `true` if it is the last one of the run.
    fn show(&mut self, sent: &SseEvent) -> CliResult<bool> {
        if self.terminal.json {
            self.terminal.document(&sent.text)?;
        }
        let payload = sent.value.get("payload").unwrap_or(&Value::Null);
        let text = |name: &str| terminal::text(payload, name);
        match terminal::text(&sent.value, "event_type").as_str() {
            "run.completed" => {
                if self.is_whole && !self.terminal.json {
                    self.terminal.print(&format!("{}\n", text("output")))?;
                }
                return Ok(true);
            }
            "run.failed" => return Err(Failure::new(Exit::RunFailed, &text("code"), text("message"))),
            "run.cancelled" => return Err(Failure::new(Exit::RunFailed, "run_cancelled", "The run was stopped")),
            _ if self.terminal.json => {}
            "message.delta" | "message.assistant" if self.is_whole => {}
            "message.delta" => {
                self.terminal.print(&text("text"))?;
                self.pending.push_str(&text("text"));
            }
            // Deltas may have been missed: the event has the whole message.
            "message.assistant" if !text("content").is_empty() => {
                let content = text("content");
                let rest = content.strip_prefix(self.pending.as_str()).unwrap_or_default();
                self.terminal.print(&format!("{rest}\n"))?;
                self.pending.clear();
            }
            "model.request" => self.progress.set_text(format!("Waiting for {}", text("model"))),
            "skill.invoked" => {
                let call = format!("{} {}", text("skill_id"), text("tool"));
                self.terminal.print_status(&format!("[{}]", terminal::line(&call, 200)));
                self.progress.set_text(call);
            }
            "ask.requested" => self.show_question(payload),
            "skill.denied" => {
                let denied = format!("{} was not called: {}", text("tool"), text("reason"));
                self.terminal.print_status(&format!("[{}]", terminal::line(&denied, 1000)));
            }
            "skill.progress" => self.progress.set_text(render(payload)),
            "skill.failed" => {
                let failed = format!("{} {} failed: {}", text("skill_id"), text("tool"), text("message"));
                self.terminal.print_status(&format!("[{}]", terminal::line(&failed, 1000)));
            }
            _ => {}
        }
        Ok(false)
    }

    fn show_question(&mut self, payload: &Value) {
        let text = |name: &str| terminal::text(payload, name);
        let id = text("question_id");
        let (what, how) = match text("kind").as_str() {
            "approval" => {
                let call = format!("{} {}", text("tool"), text("arguments"));
                (format!("Wants to call {call}"), format!("allow {} {id}", self.agent))
            }
            _ => (text("question"), format!("answer {} {id} ANSWER", self.agent)),
        };
        let shown = terminal::line(&what, SHOWN);
        let whole = shown.ends_with('…').then(|| format!("  All of it: moxxy question list {}", self.agent));
        self.terminal.print_status(&format!("[{shown}]"));
        whole.into_iter().for_each(|whole| self.terminal.print_status(&whole));
        self.terminal.print_status(&format!("  moxxy question {how}"));
        self.progress.set_text("Waiting for an answer".to_owned());
    }
}

/// Formats the progress that a call reports.
fn render(payload: &Value) -> String {
    let done = payload.get("done").and_then(Value::as_f64);
    let percent = done.map(|done| format!(" {:.0} %", done * 100.0)).unwrap_or_default();
    format!("{}: {}{percent}", text(payload, "skill_id"), text(payload, "message"))
}

async fn list(client: &Client, terminal: Terminal, agent: &Name, limit: usize) -> CliResult {
    let call = Call::get(format!("/v1/agents/{agent}/runs")).query("limit", client::page(limit));
    let runs = client.list(call, Some(limit)).await?;
    let empty = format!("No runs yet. Give it a task: moxxy run {agent} TASK");
    terminal.list(&runs, &empty, |runs| {
        let row = |run: &Value| [text(run, "run_id"), text(run, "status"), time(run, "created_at"), text(run, "task")];
        terminal::table(["RUN", "STATUS", "CREATED (UTC)", "TASK"], runs.iter().map(row))
    })?;
    if runs.len() == limit {
        terminal.note(&format!("These are the newest {limit}; --limit shows more."));
    }
    Ok(())
}

fn detail(run: &Value) -> String {
    let error = run.get("error").filter(|error| error.is_object());
    let error = error.map(|error| format!("{} ({})", text(error, "message"), text(error, "code"))).unwrap_or_default();
    let usage = run.get("usage").unwrap_or(&Value::Null);
    let spent = format!(
        "{} model calls, {} tool calls, {} tokens in, {} out, {} US$",
        text(usage, "steps"),
        text(usage, "tool_calls"),
        text(usage, "input_tokens"),
        text(usage, "output_tokens"),
        text(usage, "cost")
    );
    let about = terminal::fields([
        ("Run", text(run, "run_id")),
        ("Agent", text(run, "agent_id")),
        ("Session", text(run, "session_id")),
        ("Status", text(run, "status")),
        ("Waits for", text(run, "waits_for")),
        ("Created", time(run, "created_at")),
        ("Started", time(run, "started_at")),
        ("Ended", time(run, "ended_at")),
        ("Used", spent),
        ("Task", text(run, "task")),
        ("Output", text(run, "output")),
        ("Error", error),
    ]);
    let row = |step: &Value| {
        [text(step, "kind"), text(step, "status"), text(step, "name"), time(step, "started_at"), text(step, "output")]
    };
    let steps = terminal::items(run, "steps");
    let steps = terminal::table(["STEP", "STATUS", "NAME", "STARTED (UTC)", "OUTPUT"], steps.iter().map(row));
    format!("{about}\n{steps}")
}
