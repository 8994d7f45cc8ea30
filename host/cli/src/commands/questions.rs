//! `moxxy question`: lists and answers the questions of runs.

use clap::builder::PossibleValuesParser;
use moxxy_types::ids::Name;
use serde_json::{Value, json};

use crate::{
    Options, arguments,
    client::{Call, Client},
    failure::CliResult,
    terminal::{self, text, time},
};

const DECIDING: &str = "A decision is about the tool, the component that it is of, and its exact arguments. For how
long it holds:
  once      for this call
  run       for the rest of the run
  session   for the rest of the session
  always    until the tool policy is set anew

Calls of any arguments are allowed or denied with `moxxy policy set`. A token cannot approve what a run wants
that it started itself, unless the policy says so.";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List what an agent's runs ask, and what waits for an approval.
    List {
        /// The agent's name.
        #[arg(value_parser = arguments::name)]
        agent: Name,
    },
    /// Answer a question in words; the run goes on.
    Answer {
        #[command(flatten)]
        question: Question,
        /// The answer.
        answer: String,
    },
    /// Let a call be made that waits for an approval.
    #[command(after_help = DECIDING)]
    Allow(Decision),
    /// Have a call not made that waits for an approval; the model is told.
    #[command(after_help = DECIDING)]
    Deny(Decision),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Question {
    /// The agent's name.
    #[arg(value_parser = arguments::name)]
    agent: Name,
    /// The question's id, `ask_…`; `moxxy question list` shows it.
    #[arg(value_parser = arguments::question)]
    question: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Decision {
    #[command(flatten)]
    question: Question,
    /// For how long it holds.
    #[arg(long, value_name = "SCOPE", default_value = "once")]
    #[arg(value_parser = PossibleValuesParser::new(["once", "run", "session", "always"]))]
    scope: String,
}

pub(crate) async fn run(options: &Options, command: Command) -> CliResult {
    let (client, terminal) = (Client::new(options)?, options.terminal());
    let (question, body) = match command {
        Command::List { agent } => {
            let open = client.list(Call::get(format!("/v1/agents/{agent}/questions")), None).await?;
            return terminal.list(&open, "Nothing is asked.", render);
        }
        Command::Answer { question, answer } => (question, json!({ "answer": answer })),
        Command::Allow(Decision { question, scope }) => (question, json!({ "decision": "allow", "scope": scope })),
        Command::Deny(Decision { question, scope }) => (question, json!({ "decision": "deny", "scope": scope })),
    };
    let path = format!("/v1/agents/{}/ask-responses/{}", question.agent, question.question);
    let answered = client.answer(Call::post(path).json(body)).await?;
    terminal.show(&answered, |answered| format!("The run goes on: {}\n", text(answered, "run_id")))
}

/// Formats questions in full, because a person must see what they approve.
fn render(open: &[Value]) -> String {
    let question = |asked: &Value| {
        let approval = text(asked, "kind") == "approval";
        terminal::fields([
            ("Question", text(asked, "question_id")),
            ("Run", text(asked, "run_id")),
            ("Asked", time(asked, "created_at")),
            ("Until", time(asked, "expires_at")),
            (if approval { "Wants to call" } else { "Asked by" }, text(asked, "tool")),
            ("With", text(asked, "arguments")),
            ("Asks", if approval { String::new() } else { text(asked, "question") }),
        ])
    };
    open.iter().map(question).collect::<Vec<_>>().join("\n")
}
