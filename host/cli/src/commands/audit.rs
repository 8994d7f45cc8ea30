//! `moxxy audit`: queries and verifies the audit log.

use moxxy_server::{
    config::{Config, Flags},
    services::audit::{self, Report},
};
use moxxy_types::{
    audit::Head,
    ids::{Name, RunId},
};
use serde_json::{Value, json};

use crate::{
    Options, arguments,
    client::{Call, Client},
    failure::{CliResult, Exit, Failure},
    terminal::{self, Terminal, text, time},
};

const VERIFYING: &str = "It reads the data directory itself, with its master key, while the server runs or not; the
server is not asked. A head that was kept elsewhere proves that nothing before it was changed or cut off:
  moxxy audit head                               # 421:5be1…
  moxxy audit verify --head 421:5be1…";
/// Maximum width of the payload, in columns.
const PAYLOAD: usize = 160;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List who did what, newest first.
    List(List),
    /// Print the log's head, PLACE:HASH, which proves what is before it.
    Head,
    /// Find what was changed, is missing or was cut off.
    #[command(after_help = VERIFYING)]
    Verify {
        /// A head that was published once: by `moxxy audit head`, by the API, or in the server's log.
        #[arg(long, value_name = "PLACE:HASH", value_parser = head)]
        head: Option<Head>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only about this agent.
    #[arg(long, value_name = "NAME", value_parser = arguments::name)]
    agent: Option<Name>,
    /// Only of this run.
    #[arg(long, value_name = "RUN", value_parser = arguments::run)]
    run: Option<RunId>,
    /// Only of this type, such as `vault.accessed` or `vault.*`.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only what this one did: a token's id, `local`, `component:NAME`.
    #[arg(long)]
    actor: Option<String>,
    /// Only from this time on, as in 2030-01-02T03:04:05Z.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only from before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    limit: usize,
}

pub(crate) async fn run(options: &Options, flags: &Flags, command: Command) -> CliResult {
    let terminal = options.terminal();
    match command {
        Command::Verify { head } => render(terminal, &audit::verify(&Config::load(flags)?, head).await?),
        Command::Head => {
            let head = Client::new(options)?.answer(Call::get("/v1/audit/head")).await?;
            terminal.show(&head, |head| format!("{}:{}\n", text(head, "position"), text(head, "hash")))
        }
        Command::List(list) => list.show(&Client::new(options)?, terminal).await,
    }
}

impl List {
    async fn show(self, client: &Client, terminal: Terminal) -> CliResult {
        let filters = [
            ("agent_id", self.agent.map(|agent| agent.to_string())),
            ("run_id", self.run.map(|run| run.to_string())),
            ("event_type", self.kind),
            ("actor", self.actor),
            ("since", self.since),
            ("until", self.until),
        ];
        let call = filters.into_iter().fold(Call::get("/v1/audit"), |call, (name, value)| match value {
            Some(value) => call.query(name, value),
            None => call,
        });
        let entries = client.list(call, Some(self.limit)).await?;
        terminal.list(&entries, "No entries of that kind.", |entries| {
            let headings = ["PLACE", "TIME (UTC)", "WHO", "AGENT", "WHAT", "DETAILS"];
            terminal::table(headings, entries.iter().map(row))
        })
    }
}

fn row(entry: &Value) -> [String; 6] {
    let payload = entry.get("payload").and_then(Value::as_object);
    let payload: Vec<_> = payload.into_iter().flatten().map(|(name, value)| format!("{name}={value}")).collect();
    let details = terminal::line(&payload.join(" "), PAYLOAD);
    let (place, who) = (text(entry, "position"), text(entry, "actor"));
    [place, time(entry, "timestamp"), who, text(entry, "agent_id"), text(entry, "event_type"), details]
}

fn render(terminal: Terminal, report: &Report) -> CliResult {
    let head = report.head.as_ref().map(|head| format!("{}:{}", head.position, head.hash)).unwrap_or_default();
    match terminal.json {
        true => terminal.document(&json!(report).to_string())?,
        false => {
            let findings: String = report.findings.iter().map(|finding| format!("{finding}\n")).collect();
            let more = if report.more > 0 { format!("… and {} findings more\n", report.more) } else { String::new() };
            let all = format!("{} entries, from {} on; the head is {head}\n", report.entries, report.first);
            terminal.print(&format!("{findings}{more}{all}"))?;
        }
    }
    match report.findings.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(Exit::Failed, "audit_findings", "the audit log is not as it was written")),
    }
}

fn head(text: &str) -> Result<Head, String> {
    let read = || {
        let (position, hash) = text.split_once(':')?;
        let digits = hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        digits.then_some(Head { position: position.parse().ok()?, hash: hash.to_owned() })
    };
    read().ok_or_else(|| "it is PLACE:HASH, as `moxxy audit head` prints it".into())
}
