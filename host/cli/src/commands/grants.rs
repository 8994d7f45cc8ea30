//! `moxxy grant`: adds, lists and revokes grants.

use clap::builder::PossibleValuesParser;
use moxxy_types::{
    clock::Clock,
    ids::{Name, SecretName},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    Options, arguments,
    client::{Call, Client},
    failure::CliResult,
    terminal::{self, Terminal, items, text, time},
};

const PATH: &str = "/v1/vault/grants";
const ADDING: &str = "Examples:
  moxxy grant add github --agent ada                 # to each skill of ada's that asks for `github`
  moxxy grant add github-work --agent ada --skill issues --as github --expires 30d
  moxxy grant add openai --provider openai";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Let a component use a secret. What is installed later asks anew.
    #[command(after_help = ADDING)]
    Add(Box<Add>),
    /// List the grants.
    List,
    /// Take a grant back; the next use is refused, in the midst of a run too.
    Revoke {
        /// The grant's id, `grt_…`; `moxxy grant list` shows it.
        #[arg(value_parser = arguments::grant)]
        id: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// The secret's name.
    #[arg(value_parser = arguments::secret)]
    secret: SecretName,
    /// The agent whose skills may use it.
    #[arg(long, value_parser = arguments::name, required_unless_present_any = ["provider", "installation"], conflicts_with_all = ["provider", "installation"])]
    agent: Option<Name>,
    /// The one skill of the agent that may use it (default: each that asks for it).
    #[arg(long, value_parser = arguments::name, requires = "agent")]
    skill: Option<Name>,
    /// The provider that may use it.
    #[arg(long, value_parser = arguments::name, conflicts_with = "installation")]
    provider: Option<Name>,
    /// Id (`ins_…`) of the installation that may use the secret, for example a skill of the server.
    #[arg(long, value_name = "ID", value_parser = arguments::installation)]
    installation: Option<String>,
    /// The name by which the component asks for it (default: the secret's own).
    #[arg(long = "as", value_name = "NAME", value_parser = arguments::secret)]
    name: Option<SecretName>,
    /// What it may do: have it sent, sign with it, or read it.
    #[arg(long, value_parser = PossibleValuesParser::new(["inject", "sign", "reveal"]), default_value = "inject")]
    mode: String,
    /// Where it may be sent (default: where the component asks). Can stand more than once.
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// Where in a request it may stand (default: as the component asks).
    #[arg(long, value_name = "header:NAME|basic|path|query:NAME|body")]
    place: Option<String>,
    /// How long it holds: 90s, 15m, 12h, 30d, 4w (default: until it is revoked).
    #[arg(long, value_name = "DURATION", value_parser = arguments::duration)]
    expires: Option<u64>,
    /// How often it may be used (default: as often as need be).
    #[arg(long, value_name = "NUMBER")]
    uses: Option<i64>,
}

pub(crate) async fn run(options: &Options, command: Command) -> CliResult {
    let (client, terminal) = (Client::new(options)?, options.terminal());
    match command {
        Command::Add(add) => {
            let granted = client.answer(Call::post(PATH).json(add.body())).await?;
            terminal.show(&granted, |granted| items(granted, "grants").iter().map(render).collect())
        }
        Command::List => list(&client, terminal).await,
        Command::Revoke { id } => {
            let revoked = client.answer(Call::new(Method::DELETE, format!("{PATH}/{id}"))).await?;
            terminal.show(&revoked, |_| format!("Revoked {id}.\n"))
        }
    }
}

impl Add {
    fn body(self) -> Value {
        let seconds = |seconds| Clock::system().after(i64::try_from(seconds).unwrap_or(i64::MAX));
        json!({
            "secret": self.secret, "agent_id": self.agent, "component": self.skill, "provider_id": self.provider,
            "installation_id": self.installation,
            "name": self.name, "mode": self.mode, "hosts": (!self.hosts.is_empty()).then_some(self.hosts),
            "place": self.place, "expires_at": self.expires.map(seconds), "max_uses": self.uses,
        })
    }
}

fn render(grant: &Value) -> String {
    let (mode, secret) = (mode(grant), text(grant, "secret"));
    format!("Granted {secret} to {} ({mode}, {}).\n", holder(grant), text(grant, "id"))
}

/// Returns the mode, in capitals if the component can read the secret's value.
fn mode(grant: &Value) -> String {
    let mode = text(grant, "mode");
    if mode == "reveal" { mode.to_uppercase() } else { mode }
}

fn holder(grant: &Value) -> String {
    match ["provider_id", "agent_id", "skill_id"].map(|field| text(grant, field)) {
        [provider, ..] if !provider.is_empty() => provider,
        [_, agent, skill] if agent.is_empty() => skill,
        [_, agent, skill] => format!("{agent}/{skill}"),
    }
}

async fn list(client: &Client, terminal: Terminal) -> CliResult {
    let grants = client.list(Call::get(PATH), None).await?;
    terminal.list(&grants, "No grants yet. Make one: moxxy grant add SECRET --agent AGENT", |grants| {
        let row = |grant: &Value| {
            let hosts: Vec<_> = items(grant, "hosts").iter().filter_map(Value::as_str).collect();
            let most = text(grant, "max_uses");
            let uses = if most.is_empty() { text(grant, "uses") } else { format!("{}/{most}", text(grant, "uses")) };
            let (secret, place) = (text(grant, "secret"), text(grant, "place"));
            let ends = time(grant, "expires_at");
            [secret, holder(grant), mode(grant), hosts.join(" "), place, uses, ends, text(grant, "id")]
        };
        let headings = ["SECRET", "HOLDER", "MODE", "HOSTS", "PLACE", "USES", "ENDS (UTC)", "ID"];
        terminal::table(headings, grants.iter().map(row))
    })
}
