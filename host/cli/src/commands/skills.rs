//! `moxxy skill`: installs, upgrades and invokes skills.

use moxxy_types::ids::Name;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    Options, arguments,
    client::{Call, Client},
    component::{self, Change, Version},
    failure::{CliResult, Failure},
    progress,
    settings::Settings,
    terminal::{self, Terminal, items, text, time},
};

const INSTALLING: &str = "Examples:
  moxxy skill install demo text                  # comes with the server; also notes, clock, fetch, github
  moxxy skill install demo my-skill.wasm
  moxxy skill install demo my-skill.wasm --accept 'host:api.example.com GET'

`moxxy inspect FILE` shows what a component asks for, before it is installed.";
const UPGRADING: &str = "Examples:
  moxxy skill upgrade demo my-skill my-skill.wasm
  moxxy skill upgrade demo fetch --accept 'host:docs.rs GET'
  moxxy skill upgrade demo fetch --revoke 'host:docs.rs GET'
  moxxy skill upgrade demo fetch --accept 'host:nas.lan:8080 GET'   # not public: takes vault:write";
const CALLING: &str = "Examples:
  moxxy skill invoke demo text word_count --arg text='the quick brown fox'
  moxxy skill invoke demo text word_count '{\"text\": \"the quick brown fox\"}'";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Install a skill for an agent.
    #[command(after_help = INSTALLING)]
    Install {
        /// The agent's name.
        #[arg(value_parser = arguments::name)]
        agent: Name,
        #[command(flatten)]
        version: Version,
    },
    /// List the skills of an agent.
    List {
        /// The agent's name.
        #[arg(value_parser = arguments::name)]
        agent: Name,
    },
    /// Show a skill: its tools and what they take, what it asks for and was granted.
    Show(Skill),
    /// Put another version in a skill's place, or consent to more; what the skill keeps stays.
    #[command(after_help = UPGRADING)]
    Upgrade {
        #[command(flatten)]
        skill: Skill,
        #[command(flatten)]
        change: Change,
    },
    /// Change a skill's configuration; options that you do not name keep their values.
    Configure {
        #[command(flatten)]
        skill: Skill,
        #[command(flatten)]
        config: Settings,
        /// Option to remove from the configuration. Can be repeated.
        #[arg(long, value_name = "KEY")]
        unset: Vec<String>,
    },
    /// Go back to the version before the last upgrade.
    Rollback(Skill),
    /// Remove a skill with what it keeps.
    Remove(Skill),
    /// Call one tool and print its result.
    #[command(after_help = CALLING)]
    Invoke {
        #[command(flatten)]
        skill: Skill,
        /// The tool's name; `moxxy skill show` lists them.
        tool: String,
        /// Its arguments, a JSON object or a file with one.
        #[arg(default_value = "{}", hide_default_value = true)]
        arguments: String,
        /// One argument; the value is JSON, or else a text. Can stand more than once.
        #[arg(long = "arg", short, value_name = "KEY=VALUE", value_parser = arguments::setting)]
        more: Vec<(String, Value)>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Skill {
    /// The agent's name.
    #[arg(value_parser = arguments::name)]
    agent: Name,
    /// The skill's name.
    #[arg(value_parser = arguments::name)]
    skill: Name,
}

impl Skill {
    fn at(&self, method: Method, rest: &str) -> Call {
        Call::new(method, format!("/v1/agents/{}/skills/{}{rest}", self.agent, self.skill))
    }
}

pub(crate) async fn run(options: &Options, command: Command) -> CliResult {
    let (client, terminal) = (Client::new(options)?, options.terminal());
    match command {
        Command::Install { agent, version } => {
            let component = version.name().to_owned();
            let call = version.send(Call::post(format!("/v1/agents/{agent}/skills/install")))?;
            let installed = progress::with_spinner(format!("Installing {component}"), client.answer(call)).await?;
            terminal.show(&installed, |skill| change("Installed", skill))?;
            advise(terminal, &agent, &installed.value);
            Ok(())
        }
        Command::List { agent } => list(&client, terminal, &agent).await,
        Command::Show(skill) => terminal.show(&client.answer(skill.at(Method::GET, "")).await?, render),
        Command::Upgrade { skill, change: wanted } => {
            let done = if wanted.has_component() { "Upgraded" } else { "Changed the consent of" };
            let call = wanted.send(skill.at(Method::PUT, ""))?;
            let upgraded = progress::with_spinner(format!("Upgrading {}", skill.skill), client.answer(call)).await?;
            terminal.show(&upgraded, |skill| change(done, skill))?;
            advise(terminal, &skill.agent, &upgraded.value);
            Ok(())
        }
        Command::Configure { skill, config, unset } => {
            if config.is_empty() && unset.is_empty() {
                return Err(Failure::usage("No change given: use --set, --unset or --settings".to_owned()));
            }
            let now = client.answer(skill.at(Method::GET, "")).await?.value;
            let before = now.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
            let patch = config.patch(&before, &unset)?;
            let changed = client.answer(skill.at(Method::PATCH, "").json(json!({ "config": patch }))).await?;
            terminal.show(&changed, render)?;
            advise(terminal, &skill.agent, &changed.value);
            Ok(())
        }
        Command::Rollback(skill) => {
            let back = client.answer(skill.at(Method::POST, "/rollback"));
            let back = progress::with_spinner(format!("Going back with {}", skill.skill), back).await?;
            terminal.show(&back, |skill| change("Went back to", skill))
        }
        Command::Remove(skill) => {
            let removed = client.answer(skill.at(Method::DELETE, "")).await?;
            terminal.show(&removed, |_| format!("Removed `{}` from `{}`.\n", skill.skill, skill.agent))
        }
        Command::Invoke { skill, tool, arguments, more } => {
            let mut arguments = arguments::object(&arguments)?;
            arguments.extend(more);
            let call = skill.at(Method::POST, "/invoke").json(json!({ "tool": tool, "arguments": arguments }));
            let result = progress::with_spinner(format!("{} {tool}", skill.skill), client.answer(call)).await?;
            terminal.show(&result, |result| match result.as_str() {
                Some(text) => format!("{text}\n"),
                None => format!("{result:#}\n"),
            })
        }
    }
}

fn change(done: &str, skill: &Value) -> String {
    format!("{done} `{}` {} ({})\n", text(skill, "skill_id"), text(skill, "version"), text(skill, "digest"))
}

/// Prints the missing permissions and how to grant them.
fn advise(terminal: Terminal, agent: &Name, skill: &Value) {
    let missing = component::names(skill, "missing");
    if missing.is_empty() {
        let tool = items(skill, "tools").first().map(|tool| text(tool, "name")).unwrap_or_default();
        return terminal.note(&format!(
            "Try it: moxxy skill show {agent} {0}; moxxy skill invoke {agent} {0} {tool} …",
            text(skill, "skill_id")
        ));
    }
    let mut told = format!("It asks for what it has not been granted:\n{}", component::requested_permissions(skill));
    let id = text(skill, "skill_id");
    for name in &missing {
        told += &match name.strip_prefix("secret:").and_then(|name| name.split(' ').next()) {
            Some(secret) => format!("Let it: moxxy grant add {secret} --agent {agent} --skill {id}\n"),
            None => {
                format!("Let it: moxxy skill upgrade {agent} {id} --accept '{}'\n", component::accept_argument(name))
            }
        };
    }
    told += "Secrets, and hosts with a port, take a token with `vault:write`.";
    terminal.note(told.trim_end());
}

async fn list(client: &Client, terminal: Terminal, agent: &Name) -> CliResult {
    let skills = client.list(Call::get(format!("/v1/agents/{agent}/skills")), None).await?;
    let empty = format!("No skills yet. Install one: moxxy skill install {agent} text");
    terminal.list(&skills, &empty, |skills| {
        let row = |skill: &Value| {
            let tools: Vec<_> = items(skill, "tools").iter().map(|tool| text(tool, "name")).collect();
            let missing = component::names(skill, "missing").len();
            let missing = if missing == 0 { String::new() } else { missing.to_string() };
            [text(skill, "skill_id"), text(skill, "version"), time(skill, "created_at"), missing, tools.join(" ")]
        };
        terminal::table(["SKILL", "VERSION", "INSTALLED (UTC)", "MISSING", "TOOLS"], skills.iter().map(row))
    })
}

fn render(skill: &Value) -> String {
    let about = terminal::fields([
        ("Skill", text(skill, "skill_id")),
        ("Version", text(skill, "version")),
        ("Description", text(skill, "description")),
        ("Digest", text(skill, "digest")),
        ("Size", format!("{} bytes", text(skill, "size"))),
        ("Signature", text(skill, "signature")),
        ("Before", text(skill, "previous")),
        ("Installed", time(skill, "created_at")),
        ("Configuration", text(skill, "config")),
        ("Asks for", component::requested_permissions(skill)),
        ("Granted", component::granted(skill)),
        ("Can never", component::never(skill)),
    ]);
    format!("{about}\n{}", component::tools(skill))
}
