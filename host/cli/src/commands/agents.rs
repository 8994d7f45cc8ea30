//! `moxxy agent`: manages agents.

use std::{fs, path::PathBuf};

use moxxy_types::ids::{Name, RunId};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::{
    Options, arguments,
    client::{Call, Client},
    commands::runs::mode,
    failure::{CliResult, Failure},
    limits::Limits,
    progress,
    terminal::{self, Terminal, items, text, time},
};

const CREATING: &str = "Examples:
  moxxy provider install offline        # works without a network
  moxxy provider models offline
  moxxy agent create ada --provider offline --model planner
  moxxy agent create bob --provider offline --model echo --persona 'You are brief' --max-steps 5
  moxxy agent create eve --provider openai --model gpt-5 --fallback anthropic/claude-sonnet-4-5";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the agents.
    List,
    /// Show an agent.
    Show(Agent),
    /// Make an agent.
    #[command(after_help = CREATING)]
    Create {
        /// Its name: 1 to 64 of a-z, 0-9 and -.
        #[arg(value_parser = arguments::name)]
        name: Name,
        /// The provider of its model; `moxxy provider list` shows them.
        #[arg(long, value_name = "ID", value_parser = arguments::name)]
        provider: Name,
        /// Its model; `moxxy provider models ID` shows them.
        #[arg(long)]
        model: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Change an agent; what is not named stays as it is.
    Update(Update),
    /// Delete an agent with all that is its own: its runs, history and skills.
    Delete(Agent),
    /// Tell an agent's runs to stop, also those that wait; they end with their step.
    Stop {
        #[command(flatten)]
        agent: Agent,
        /// End them at once, in the middle of their step.
        #[arg(long)]
        now: bool,
    },
    /// Stop an agent's runs and begin its conversation anew; the history stays readable.
    Reset(Agent),
    /// Show the messages of a conversation, oldest first.
    History {
        #[command(flatten)]
        agent: Agent,
        /// The conversation's name or the session's id (default: `default`).
        #[arg(long, value_name = "NAME|ID")]
        session: Option<String>,
        /// Only the messages of this run.
        #[arg(long, value_name = "RUN", value_parser = arguments::run)]
        run: Option<RunId>,
        /// How many at most.
        #[arg(long, value_name = "NUMBER")]
        limit: Option<usize>,
    },
    /// List an agent's conversations, oldest first.
    Sessions(Agent),
    /// Say what an agent used, day by day (UTC), latest first.
    Usage(Agent),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Agent {
    /// The agent's name.
    #[arg(value_parser = arguments::name, value_name = "AGENT")]
    name: Name,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Update {
    #[command(flatten)]
    agent: Agent,
    /// The provider of its model; `moxxy provider list` shows them.
    #[arg(long, value_name = "ID", value_parser = arguments::name)]
    provider: Option<Name>,
    /// Its model; `moxxy provider models ID` shows them.
    #[arg(long)]
    model: Option<String>,
    #[command(flatten)]
    settings: Settings,
    /// Take its persona away.
    #[arg(long, conflicts_with_all = ["persona", "persona_file"])]
    no_persona: bool,
    /// Leave the temperature to the model.
    #[arg(long, conflicts_with = "temperature")]
    no_temperature: bool,
    /// Take its fallbacks away.
    #[arg(long, conflicts_with = "fallback")]
    no_fallbacks: bool,
}

/// What an agent may have.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    /// Who it is and how it behaves, for the model to read.
    #[arg(long, value_name = "TEXT", conflicts_with = "persona_file")]
    persona: Option<String>,
    /// A file with its persona.
    #[arg(long, value_name = "FILE")]
    persona_file: Option<PathBuf>,
    /// How freely the model chooses its words, from 0 to 2.
    #[arg(long, value_name = "NUMBER")]
    temperature: Option<f64>,
    /// How the model answers, such as `reasoning_effort=low`, `thinking=true`, `top_p=0.9` or `stop=["END"]`; the value is
    /// JSON, or else a text, and `null` takes the option away. Can stand more than once.
    #[arg(long, value_name = "KEY=VALUE", value_parser = arguments::setting)]
    option: Vec<(String, Value)>,
    /// A model that runs go on with when the one before fails; several times for several, in order.
    #[arg(long, value_name = "PROVIDER/MODEL", value_parser = arguments::model)]
    fallback: Vec<Value>,
    #[command(flatten)]
    limits: Limits,
}

impl Settings {
    /// Returns the fields that are set.
    fn body(self) -> CliResult<Map<String, Value>> {
        let mut body = Map::new();
        let unreadable = |e, file: &PathBuf| Failure::usage(format!("Cannot read {}: {e}", file.display()));
        let persona = match &self.persona_file {
            Some(file) => Some(fs::read_to_string(file).map_err(|e| unreadable(e, file))?),
            None => self.persona,
        };
        set(&mut body, "persona", persona);
        set(&mut body, "temperature", self.temperature);
        set(&mut body, "fallbacks", Some(self.fallback).filter(|fallbacks| !fallbacks.is_empty()));
        for (name, fields) in [("limits", self.limits.set()), ("options", self.option.into_iter().collect())] {
            set(&mut body, name, (!fields.is_empty()).then_some(fields));
        }
        Ok(body)
    }
}

fn set(body: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body.insert(name.into(), value.into());
    }
}

pub(crate) async fn run(options: &Options, command: Command) -> CliResult {
    let (client, terminal) = (Client::new(options)?, options.terminal());
    match command {
        Command::List => list(&client, terminal).await,
        Command::Show(Agent { name }) => terminal.show(&client.answer(at(Method::GET, &name, "")).await?, render),
        Command::Create { name, provider, model, settings } => {
            let mut body = settings.body()?;
            body.extend(
                [("name", name.as_str()), ("provider", provider.as_str()), ("model", &model)]
                    .map(|(key, value)| (key.to_owned(), json!(value))),
            );
            let made = client.answer(Call::post("/v1/agents").json(Value::Object(body))).await?;
            terminal.show(&made, |_| format!("Made the agent `{name}`.\n"))?;
            warn(terminal, &made.value);
            terminal.note(&format!(
                "Give it a task: moxxy run {name} TASK. Give it a skill: moxxy skill install {name} text"
            ));
            Ok(())
        }
        Command::Update(update) => change(&client, terminal, update).await,
        Command::Delete(Agent { name }) => {
            let deleting = client.answer(at(Method::DELETE, &name, ""));
            let deleted = progress::with_spinner(format!("Deleting {name}"), deleting).await?;
            terminal.show(&deleted, |_| format!("Deleted the agent `{name}`.\n"))
        }
        Command::Stop { agent: Agent { name }, now } => {
            let stop = at(Method::POST, &name, "/stop").json(json!({ "mode": mode(now) }));
            let stopped = progress::with_spinner(format!("Stopping {name}"), client.answer(stop)).await?;
            terminal.show(&stopped, |runs| render_stopped(runs.as_array().map_or(0, Vec::len), now))
        }
        Command::Reset(Agent { name }) => {
            let reset = client.answer(at(Method::POST, &name, "/reset"));
            let reset = progress::with_spinner(format!("Stopping {name}"), reset).await?;
            terminal.show(&reset, |reset| format!("`{name}` begins anew, in session {}.\n", text(reset, "session_id")))
        }
        Command::History { agent: Agent { name }, session, run, limit } => {
            let mut call = at(Method::GET, &name, "/history");
            for (parameter, value) in [("session", session), ("run_id", run.map(|run| run.to_string()))] {
                if let Some(value) = value {
                    call = call.query(parameter, value);
                }
            }
            let messages = client.list(call, limit).await?;
            let empty = format!("No messages yet. Say something: moxxy run {name} TASK");
            terminal.list(&messages, &empty, |messages| messages.iter().map(message).collect())
        }
        Command::Sessions(Agent { name }) => sessions(&client, terminal, &name).await,
        Command::Usage(Agent { name }) => usage(&client, terminal, &name).await,
    }
}

fn render_stopped(runs: usize, now: bool) -> String {
    match (runs, now) {
        (0, _) => "There was no run to stop.\n".to_owned(),
        (runs, true) => format!("Runs that were told to stop at once: {runs}.\n"),
        (runs, false) => {
            format!("Runs that were told to stop, and end with their step: {runs}. --now ends them at once.\n")
        }
    }
}

fn at(method: Method, agent: &Name, rest: &str) -> Call {
    Call::new(method, format!("/v1/agents/{agent}{rest}"))
}

async fn change(client: &Client, terminal: Terminal, update: Update) -> CliResult {
    let name = update.agent.name;
    let mut body = update.settings.body()?;
    set(&mut body, "provider", update.provider.map(|provider| provider.to_string()));
    set(&mut body, "model", update.model);
    if update.no_persona {
        body.insert("persona".into(), Value::Null);
    }
    if update.no_temperature {
        body.insert("temperature".into(), Value::Null);
    }
    if update.no_fallbacks {
        body.insert("fallbacks".into(), json!([]));
    }
    if body.is_empty() {
        return Err(Failure::usage("What is to change? `moxxy agent update --help` shows what can"));
    }
    let changed = client.answer(at(Method::PATCH, &name, "").json(Value::Object(body))).await?;
    terminal.show(&changed, render)?;
    warn(terminal, &changed.value);
    Ok(())
}

/// Shows the warnings of a created or changed agent.
fn warn(terminal: Terminal, agent: &Value) {
    for warning in items(agent, "warnings").iter().filter_map(Value::as_str) {
        terminal.note(&format!("Warning: {}", terminal::line(warning, 500)));
    }
}

async fn list(client: &Client, terminal: Terminal) -> CliResult {
    let agents = client.list(Call::get("/v1/agents"), None).await?;
    let empty = "No agents yet. Make one: moxxy agent create NAME --provider ID --model MODEL";
    terminal.list(&agents, empty, |agents| {
        let row = |agent: &Value| {
            let created = time(agent, "created_at");
            [text(agent, "name"), text(agent, "status"), text(agent, "provider"), text(agent, "model"), created]
        };
        terminal::table(["AGENT", "STATUS", "PROVIDER", "MODEL", "CREATED (UTC)"], agents.iter().map(row))
    })
}

fn render(agent: &Value) -> String {
    let set = |name: &str| {
        let fields = agent.get(name).and_then(Value::as_object).into_iter().flatten();
        let set = fields.filter(|(_, value)| !value.is_null()).map(|(name, value)| format!("{name} {value}"));
        terminal::line(&set.collect::<Vec<_>>().join(", "), 500)
    };
    let fallbacks =
        items(agent, "fallbacks").iter().map(|known| format!("{}/{}", text(known, "provider"), text(known, "model")));
    terminal::fields([
        ("Agent", text(agent, "name")),
        ("Status", text(agent, "status")),
        ("Provider", text(agent, "provider")),
        ("Model", text(agent, "model")),
        ("Fallbacks", fallbacks.collect::<Vec<_>>().join(", ")),
        ("Persona", text(agent, "persona")),
        ("Temperature", text(agent, "temperature")),
        ("Options", set("options")),
        ("Limits", set("limits")),
        ("Template", text(agent, "template")),
        ("Created", time(agent, "created_at")),
        ("Updated", time(agent, "updated_at")),
    ])
}

fn message(message: &Value) -> String {
    let mut lines = format!("{}  {}\n", text(message, "role"), time(message, "created_at"));
    for line in text(message, "content").lines() {
        lines += &format!("  {line}\n");
    }
    for call in items(message, "tool_calls") {
        lines += &format!("  calls {} {}\n", text(call, "name"), text(call, "arguments"));
    }
    lines + "\n"
}

async fn sessions(client: &Client, terminal: Terminal, name: &Name) -> CliResult {
    let sessions = client.list(at(Method::GET, name, "/sessions"), None).await?;
    let empty = format!("No conversations yet. Begin one: moxxy run {name} TASK");
    terminal.list(&sessions, &empty, |sessions| {
        let row = |session: &Value| {
            let (created, closed) = (time(session, "created_at"), time(session, "closed_at"));
            [text(session, "name"), text(session, "session_id"), created, closed]
        };
        terminal::table(["NAME", "SESSION", "CREATED (UTC)", "CLOSED (UTC)"], sessions.iter().map(row))
    })
}

async fn usage(client: &Client, terminal: Terminal, name: &Name) -> CliResult {
    let days = client.list(at(Method::GET, name, "/usage"), None).await?;
    let empty = format!("It did nothing yet. Give it a task: moxxy run {name} TASK");
    terminal.list(&days, &empty, |days| {
        let row = |day: &Value| {
            ["day", "steps", "tool_calls", "input_tokens", "output_tokens", "cost", "reserved_tokens", "reserved_cost"]
                .map(|column| text(day, column))
        };
        let headings =
            ["DAY (UTC)", "MODEL CALLS", "TOOL CALLS", "TOKENS IN", "OUT", "US$", "RESERVED", "US$ RESERVED"];
        terminal::table(headings, days.iter().map(row))
    })
}
