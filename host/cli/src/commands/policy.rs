//! `moxxy policy`: shows and sets an agent's tool policy.

use moxxy_types::ids::Name;
use serde_json::{Map, Value, json};

use crate::{
    Options, arguments,
    client::{Call, Client},
    failure::CliResult,
    terminal::{self, items, text, time},
};

const SETTING: &str = "Examples:
  moxxy policy set ada 'notes__*=ask' notes__read=allow
  moxxy policy set ada 'shell__*=deny' --idempotent 'notes__*'
  moxxy policy set ada                  # as it was at first

Patterns are of the names that the model calls tools by: the skill, two underscores, the tool. `*` stands for
anything; of several that match the longest counts. A tool that none matches is allowed, or asked about if its
skill wants that. `ask_user=deny` takes away the model's own way to ask.";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show an agent's tool policy.
    Show {
        /// The agent's name.
        #[arg(value_parser = arguments::name)]
        agent: Name,
    },
    /// List what was allowed or denied for longer than one call, and holds still.
    Decisions {
        /// The agent's name.
        #[arg(value_parser = arguments::name)]
        agent: Name,
    },
    /// Set it, as a whole; decisions that hold for longer than one call are forgotten.
    #[command(after_help = SETTING)]
    Set(Set),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    /// The agent's name.
    #[arg(value_parser = arguments::name)]
    agent: Name,
    /// What holds for tools: `allow`, `ask` or `deny`.
    #[arg(value_name = "PATTERN=VERDICT", value_parser = verdict)]
    tools: Vec<(String, String)>,
    /// Tools that may be called again when a crash cut a call off. Can stand more than once.
    #[arg(long, value_name = "PATTERN")]
    idempotent: Vec<String>,
    /// Let a token approve what a run wants that it started itself.
    #[arg(long)]
    self_approval: bool,
    /// Let clients of OpenAI's API bring tools of their own, which they carry out themselves.
    #[arg(long)]
    client_tools: bool,
}

fn verdict(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((pattern, verdict @ ("allow" | "ask" | "deny"))) => Ok((pattern.to_owned(), verdict.to_owned())),
        _ => Err("it is a pattern and `=allow`, `=ask` or `=deny`, such as `notes__*=ask`".to_owned()),
    }
}

pub(crate) async fn run(options: &Options, command: Command) -> CliResult {
    let (client, terminal) = (Client::new(options)?, options.terminal());
    let path = |agent: &Name| format!("/v1/agents/{agent}/tool-policy");
    let answer = match command {
        Command::Decisions { agent } => {
            let decisions = client.list(Call::get(format!("{}/decisions", path(&agent))), None).await?;
            return terminal.list(&decisions, "Nothing is decided for longer than one call.", decided);
        }
        Command::Show { agent } => client.answer(Call::get(path(&agent))).await?,
        Command::Set(Set { agent, tools, idempotent, self_approval, client_tools }) => {
            let tools: Map<_, _> = tools.into_iter().map(|(pattern, verdict)| (pattern, verdict.into())).collect();
            let policy = json!({ "tools": tools, "idempotent": idempotent, "self_approval": self_approval,
                "client_tools": client_tools });
            client.answer(Call::new(reqwest::Method::PUT, path(&agent)).json(policy)).await?
        }
    };
    let unmatched: Vec<_> = items(&answer.value, "unmatched").iter().filter_map(Value::as_str).collect();
    terminal.show(&answer, render)?;
    if !unmatched.is_empty() {
        terminal.note(&format!(
            "These patterns match no tool of the agent: {}. Check their spelling.",
            unmatched.join(", ")
        ));
    }
    Ok(())
}

fn render(policy: &Value) -> String {
    let tools = policy.get("tools").and_then(Value::as_object).into_iter().flatten();
    let tools = tools.map(|(pattern, verdict)| [pattern.clone(), verdict.as_str().unwrap_or_default().to_owned()]);
    let idempotent = items(policy, "idempotent").iter().filter_map(Value::as_str);
    let rows = tools.chain(idempotent.map(|pattern| [pattern.to_owned(), "may be called again".to_owned()]));
    let about = terminal::fields([
        ("Tokens approve for themselves", text(policy, "self_approval")),
        ("Clients bring tools", text(policy, "client_tools")),
    ]);
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() { about } else { format!("{about}\n{}", terminal::table(["TOOLS", "RULE"], rows)) }
}

fn decided(decisions: &[Value]) -> String {
    let row = |decision: &Value| {
        let (call, tool) = (text(decision, "arguments"), text(decision, "tool"));
        [text(decision, "decision"), text(decision, "scope"), time(decision, "decided_at"), format!("{tool} {call}")]
    };
    terminal::table(["DECISION", "SCOPE", "SINCE (UTC)", "CALL"], decisions.iter().map(row))
}
