//! `moxxy job`: lists, shows, retries and deletes jobs.

use clap::builder::PossibleValuesParser;
use moxxy_types::ids::Name;
use reqwest::Method;
use serde_json::Value;

use crate::{
    Options, arguments,
    client::{Call, Client},
    failure::CliResult,
    terminal::{self, text, time},
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List jobs, oldest first.
    List {
        /// Only in this state.
        #[arg(long, value_parser = PossibleValuesParser::new(["due", "running", "dead"]))]
        status: Option<String>,
        /// Only for this agent.
        #[arg(long, value_name = "NAME", value_parser = arguments::name)]
        agent: Option<Name>,
    },
    /// Show a job with its last error.
    Show(Job),
    /// Run a job now, even if it is dead; its attempts start again at 0.
    Retry(Job),
    /// Delete a dead job.
    Delete(Job),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Job {
    /// The job's id, `job_…`; `moxxy job list` shows it.
    #[arg(value_name = "ID", value_parser = arguments::job)]
    id: String,
}

pub(crate) async fn run(options: &Options, command: Command) -> CliResult {
    let (client, terminal) = (Client::new(options)?, options.terminal());
    match command {
        Command::List { status, agent } => {
            let mut call = Call::get("/v1/jobs");
            if let Some(status) = status {
                call = call.query("status", status);
            }
            if let Some(agent) = agent {
                call = call.query("agent_id", agent.to_string());
            }
            let jobs = client.list(call, None).await?;
            terminal.list(&jobs, "No jobs.", table)
        }
        Command::Show(Job { id }) => {
            let job = client.answer(Call::get(format!("/v1/jobs/{id}"))).await?;
            terminal.show(&job, render)
        }
        Command::Retry(Job { id }) => {
            let job = client.answer(Call::post(format!("/v1/jobs/{id}/retry"))).await?;
            terminal.show(&job, |job| format!("{} is due now.\n", text(job, "id")))
        }
        Command::Delete(Job { id }) => {
            let deleted = client.answer(Call::new(Method::DELETE, format!("/v1/jobs/{id}"))).await?;
            terminal.show(&deleted, |_| format!("Deleted {id}.\n"))
        }
    }
}

fn table(jobs: &[Value]) -> String {
    let row = |job: &Value| {
        let due = if text(job, "status") == "due" { time(job, "due_at") } else { String::new() };
        let [id, kind, status] = ["id", "kind", "status"].map(|name| text(job, name));
        [id, kind, status, due, text(job, "attempts"), text(job, "agent_id"), text(job, "last_error")]
    };
    let headings = ["JOB", "KIND", "STATUS", "DUE (UTC)", "ATTEMPTS", "AGENT", "LAST ERROR"];
    terminal::table(headings, jobs.iter().map(row))
}

fn render(job: &Value) -> String {
    terminal::fields([
        ("Job", text(job, "id")),
        ("Kind", text(job, "kind")),
        ("Status", text(job, "status")),
        ("Agent", text(job, "agent_id")),
        ("About", text(job, "origin")),
        ("Due", time(job, "due_at")),
        ("Attempts", text(job, "attempts")),
        ("Last error", text(job, "last_error")),
        ("Created", time(job, "created_at")),
        ("Created by", text(job, "created_by")),
    ])
}
