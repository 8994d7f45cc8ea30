//! `moxxy component`: installations of every kind, and skills that agents share.

use moxxy_types::ids::{InstallationId, Name};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::{
    Options, arguments,
    client::{Call, Client},
    component::{self, Change, Secrets, Version},
    failure::{CliResult, Exit, Failure},
    progress,
    settings::Settings,
    terminal::{self, Terminal, items, text, time},
};

const PATH: &str = "/v1/components";
/// Maximum number of tries of a change that depends on the list of agents.
const MAX_TRIES: usize = 5;
const INSTALLING: &str = "Examples:
  moxxy component install fetch --agents ada,bob --accept 'host:docs.rs GET'
  moxxy component install my-skill.wasm --agents all
  moxxy component install my-provider.wasm --name mine --set base_url=https://api.example.com";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Install a component for the server, and enable it for agents if it is a skill.
    #[command(after_help = INSTALLING)]
    Install(Install),
    /// List the installations of every kind.
    List {
        /// Agent whose own installations are listed.
        #[arg(long, value_parser = arguments::name)]
        agent: Option<Name>,
        /// Kind of installation to list.
        #[arg(long, value_parser = ["skill", "provider"])]
        kind: Option<String>,
    },
    /// Show an installation: its configuration, permissions and tools.
    Show(Installation),
    /// Enable a skill of the server for agents.
    Enable(Agents),
    /// Disable a skill of the server for agents; their key-value data stays.
    Disable(Agents),
    /// Change the configuration, the permissions or the secrets of an installation.
    Configure {
        #[command(flatten)]
        installation: Installation,
        #[command(flatten)]
        config: Settings,
        #[command(flatten)]
        secrets: Secrets,
        /// Permission to consent to, or `all`. Can be repeated.
        #[arg(long, value_name = "NAME|all")]
        accept: Vec<String>,
        /// Option to remove from the configuration. Can be repeated.
        #[arg(long, value_name = "KEY")]
        unset: Vec<String>,
    },
    /// Upgrade an installation, or change your consent; agents keep using it.
    Upgrade {
        #[command(flatten)]
        installation: Installation,
        #[command(flatten)]
        change: Change,
    },
    /// Restore the version before the last upgrade, with its configuration.
    Rollback(Installation),
    /// Remove an installation with its grants and key-value data.
    Remove(Installation),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Install {
    #[command(flatten)]
    version: Version,
    /// Name of the installation (default: the name in the manifest).
    #[arg(long, value_parser = arguments::name)]
    name: Option<Name>,
    /// Agents that may use the skill: comma-separated names, or `all`.
    #[arg(long, value_name = "NAME,…|all")]
    agents: Option<String>,
    #[command(flatten)]
    config: Settings,
    #[command(flatten)]
    secrets: Secrets,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Installation {
    /// The installation's id, or its name if it is installed for the server.
    #[arg(value_name = "ID|NAME")]
    installation: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Agents {
    #[command(flatten)]
    installation: Installation,
    /// Names of agents, or `all`.
    #[arg(required = true, value_name = "AGENT|all")]
    agents: Vec<String>,
}

pub(crate) async fn run(options: &Options, command: Command) -> CliResult {
    let (client, terminal) = (Client::new(options)?, options.terminal());
    match command {
        Command::Install(install) => {
            let name = install.version.name().to_owned();
            let call = Call::post(PATH).json(install.body()?);
            let installed = progress::with_spinner(format!("Installing {name}"), client.answer(call)).await?;
            terminal.show(&installed, |installed| change("Installed", installed))
        }
        Command::List { agent, kind } => list(&client, terminal, agent, kind).await,
        Command::Show(installation) => terminal.show(&installation.get(&client).await?, render),
        Command::Enable(agents) => agents.update(&client, terminal, true).await,
        Command::Disable(agents) => agents.update(&client, terminal, false).await,
        Command::Configure { installation, config, secrets, accept, unset } => {
            let given = !config.is_empty() || !unset.is_empty();
            if !given && secrets.is_empty() && accept.is_empty() {
                let message = "No change given: use --set, --unset, --settings, --secret or --accept";
                return Err(Failure::usage(message.to_owned()));
            }
            let now = installation.get(&client).await?.value;
            let before = now.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
            let patch = config.patch(&before, &unset)?;
            let body = json!({
                "config": given.then_some(patch), "secrets": secrets.to_json(), "accept": component::accepted(&accept),
            });
            let changed = client.answer(at(Method::PATCH, &text(&now, "id"), "").json(body)).await?;
            terminal.show(&changed, render)
        }
        Command::Upgrade { installation, change: wanted } => {
            let done = if wanted.has_component() { "Upgraded" } else { "Changed the consent of" };
            let call = wanted.send(at(Method::POST, &installation.id(&client).await?, "/upgrade"))?;
            let upgraded = progress::with_spinner("Upgrading".to_owned(), client.answer(call)).await?;
            terminal.show(&upgraded, |upgraded| change(done, upgraded))
        }
        Command::Rollback(installation) => {
            let back = client.answer(at(Method::POST, &installation.id(&client).await?, "/rollback")).await?;
            terminal.show(&back, |back| change("Rolled back", back))
        }
        Command::Remove(installation) => {
            let removed = client.answer(at(Method::DELETE, &installation.id(&client).await?, "")).await?;
            terminal.show(&removed, |_| format!("Removed `{}`.\n", installation.installation))
        }
    }
}

fn at(method: Method, id: &str, rest: &str) -> Call {
    Call::new(method, format!("{PATH}/{id}{rest}"))
}

fn change(done: &str, installed: &Value) -> String {
    let [name, version, id] = ["name", "version", "id"].map(|field| text(installed, field));
    format!("{done} the {} `{name}` {version} ({id})\n", text(installed, "kind"))
}

impl Install {
    fn body(self) -> CliResult<Value> {
        let agents = self.agents.as_deref().map(|agents| match agents {
            "all" => json!("all"),
            names => json!(names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect::<Vec<_>>()),
        });
        let config = self.config.over(Map::new())?;
        let mut body = self.version.to_json()?;
        if let Some(body) = body.as_object_mut() {
            body.insert("name".into(), json!(self.name));
            body.insert("agents".into(), json!(agents));
            body.insert("config".into(), config.into());
            body.insert("secrets".into(), self.secrets.to_json());
        }
        Ok(body)
    }
}

impl Installation {
    /// Returns the installation as the server shows it.
    async fn get(&self, client: &Client) -> CliResult<crate::client::Answer> {
        client.answer(at(Method::GET, &self.id(client).await?, "")).await
    }

    async fn id(&self, client: &Client) -> CliResult<String> {
        if InstallationId::try_from(self.installation.clone()).is_ok() {
            return Ok(self.installation.clone());
        }
        let all = client.list(Call::get(PATH), None).await?;
        let all = all.iter().filter_map(|one| serde_json::from_str::<Value>(one.get()).ok());
        let is_meant = |one: &Value| text(one, "name") == self.installation && text(one, "agent_id").is_empty();
        let mut meant = all.filter(is_meant).map(|one| text(&one, "id"));
        match (meant.next(), meant.next()) {
            (Some(id), None) => Ok(id),
            (None, _) => Err(Failure::new(
                Exit::NotFound,
                "not_found",
                format!("No component `{}` is installed for the server", self.installation),
            )
            .advise("`moxxy component list` shows the installations with their ids")),
            (Some(_), Some(_)) => {
                let message = format!("A skill and a provider have the name `{}`: give the id", self.installation);
                Err(Failure::usage(message))
            }
        }
    }
}

impl Agents {
    async fn update(self, client: &Client, terminal: Terminal, enable: bool) -> CliResult {
        let id = self.installation.id(client).await?;
        let mut tries = 0;
        let changed = loop {
            let now = client.answer(at(Method::GET, &id, "")).await?;
            let call = at(Method::PATCH, &id, "").json(json!({ "agents": self.change(&now.value, enable)? }));
            tries += 1;
            match client.answer(call.if_match(now.etag)).await {
                // Somebody else changed it meanwhile.
                Err(failure) if failure.is_stale() && tries < MAX_TRIES => {}
                done => break done?,
            }
        };
        terminal
            .show(&changed, |changed| format!("`{}` is enabled for: {}\n", text(changed, "name"), agents_of(changed)))
    }

    /// Returns the agents that the skill is to be enabled for.
    fn change(&self, now: &Value, enable: bool) -> CliResult<Value> {
        let all = self.agents.iter().any(|agent| agent == "all");
        let before: Vec<_> = items(now, "agents").iter().filter_map(Value::as_str).collect();
        match enable {
            true if all || text(now, "agents") == "all" => Ok(json!("all")),
            true => Ok(json!(before.into_iter().chain(self.agents.iter().map(String::as_str)).collect::<Vec<_>>())),
            false if all => Ok(json!([])),
            false if text(now, "agents") == "all" => {
                let message = "The skill is enabled for all agents: disable `all` first, then enable it for some";
                Err(Failure::usage(message.to_owned()))
            }
            false => match self.agents.iter().find(|agent| !before.contains(&agent.as_str())) {
                Some(other) => Err(Failure::usage(format!("The skill is not enabled for `{other}`"))),
                None => Ok(json!(
                    before.iter().filter(|agent| !self.agents.iter().any(|one| one == *agent)).collect::<Vec<_>>()
                )),
            },
        }
    }
}

/// Returns the agents that an installation is for.
fn agents_of(installed: &Value) -> String {
    let names: Vec<_> = items(installed, "agents").iter().filter_map(Value::as_str).collect();
    match (text(installed, "agent_id"), text(installed, "kind")) {
        (agent, _) if !agent.is_empty() => agent,
        (_, kind) if kind != "skill" || text(installed, "agents") == "all" => "all agents".to_owned(),
        _ if names.is_empty() => "no agent".to_owned(),
        _ => names.join(", "),
    }
}

async fn list(client: &Client, terminal: Terminal, agent: Option<Name>, kind: Option<String>) -> CliResult {
    let mut call = Call::get(PATH);
    if let Some(agent) = agent {
        call = call.query("agent_id", agent.to_string());
    }
    if let Some(kind) = kind {
        call = call.query("kind", kind);
    }
    let all = client.list(call, None).await?;
    terminal.list(&all, "No components yet. Install one: moxxy component install fetch --agents all", |all| {
        let row = |one: &Value| {
            let [kind, name, version, id] = ["kind", "name", "version", "id"].map(|field| text(one, field));
            let update = if text(one, "bundled_update").is_empty() { "" } else { "yes" };
            [kind, name, version, agents_of(one), update.to_owned(), id]
        };
        terminal::table(["KIND", "NAME", "VERSION", "AGENTS", "UPDATE", "ID"], all.iter().map(row))
    })
}

fn render(installed: &Value) -> String {
    let about = terminal::fields([
        ("Installation", text(installed, "id")),
        ("Kind", text(installed, "kind")),
        ("Name", text(installed, "name")),
        ("Version", text(installed, "version")),
        ("Description", text(installed, "description")),
        ("Agents", agents_of(installed)),
        ("Digest", text(installed, "digest")),
        ("Update", text(installed, "bundled_update")),
        ("Before", text(installed, "previous")),
        ("Installed", time(installed, "created_at")),
        ("Configuration", text(installed, "config")),
        ("Asks for", component::requested_permissions(installed)),
        ("Granted", component::granted(installed)),
        ("Can never", component::never(installed)),
    ]);
    format!("{about}\n{}", component::tools(installed))
}
