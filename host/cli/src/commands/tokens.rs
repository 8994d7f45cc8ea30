//! `moxxy token`: creates, lists and revokes tokens.

use clap::builder::PossibleValuesParser;
use moxxy_server::{config::Config, services::offline};
use moxxy_types::error::Error;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    Options, arguments,
    client::{Answer, Call, Client},
    failure::{CliResult, Exit, Failure},
    hints,
    terminal::{self, Terminal, items, text, time},
};

const CREATING: &str = "The token is the only thing on standard output, and is shown only this once:
  export MOXXY_TOKEN=$(moxxy token create --scope '*')
  moxxy token create --scope agents:read,runs:write --expires 30d --description 'The web page'

A server's very first token needs none: make it on the server's machine; elsewhere, and where
MOXXY_LOOPBACK is false, give the one-time code that the server printed at its start as MOXXY_TOKEN. Give it `tokens:admin` or `*`, which make
further ones. The way back in is `--offline`, on the server's machine and while the server is stopped.";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a token.
    #[command(after_help = CREATING)]
    Create(Create),
    /// List the tokens; their texts are not kept.
    List,
    /// Revoke a token, from the next request on.
    Revoke {
        /// The token's id, `tok_…`; `moxxy token list` shows it.
        #[arg(value_parser = arguments::token)]
        id: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// What it may do. Can stand more than once, or be a list with commas.
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',')]
    #[arg(value_parser = PossibleValuesParser::new(moxxy_types::tokens::Scope::NAMES))]
    scopes: Vec<String>,
    /// What it is for, for those who read the list.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// How long it holds: 90s, 15m, 12h, 30d, 4w (default: until it is revoked).
    #[arg(long, value_name = "DURATION", value_parser = arguments::duration)]
    expires: Option<u64>,
    /// Make it in the data directory while the server is stopped: the way back in.
    #[arg(long)]
    offline: bool,
}

/// Token to create.
pub(crate) struct NewToken {
    pub scopes: Vec<String>,
    pub description: Option<String>,
    pub expires_in_seconds: Option<u64>,
}

pub(crate) async fn run(options: &Options, command: Command) -> CliResult {
    let terminal = options.terminal();
    match command {
        Command::Create(create) => {
            let Create { scopes, description, expires: expires_in_seconds, offline: is_offline } = create;
            let new = NewToken { scopes, description, expires_in_seconds };
            if is_offline {
                return shown_once(terminal, &offline(&Config::load(&options.flags())?, new).await?);
            }
            let client = Client::new(options)?;
            let made = ask_for(&client, new).await?;
            shown_once(terminal, &made)?;
            warn_of_last(terminal, &client, &made.value);
            Ok(())
        }
        Command::List => list(&Client::new(options)?, terminal).await,
        Command::Revoke { id } => {
            let revoked =
                Client::new(options)?.answer(Call::new(Method::DELETE, format!("/v1/auth/tokens/{id}"))).await?;
            terminal.show(&revoked, |_| format!("Revoked {id}.\n"))
        }
    }
}

/// Creates a token in the data directory, without a server.
pub(crate) async fn offline(config: &Config, new: NewToken) -> CliResult<Answer> {
    let new = serde_json::from_value(new.body()).map_err(Error::internal)?;
    let made = offline::create_token(config, new).await.map_err(|error| match error.code() {
        "data_in_use" => Failure::from(error).advise("Stop that server first, or leave `--offline` out to ask it."),
        _ => error.into(),
    });
    let value = json!(made?);
    Ok(Answer { etag: None, text: value.to_string(), value })
}

async fn ask_for(client: &Client, new: NewToken) -> CliResult<Answer> {
    let wanted = new.scopes.clone();
    client.answer(Call::post("/v1/auth/tokens").json(new.body())).await.map_err(|failure| match failure.exit {
        // The same command would be rejected again.
        Exit::NotAllowed => {
            failure.advise(hints::another_token(&wanted.iter().map(String::as_str).collect::<Vec<_>>()))
        }
        _ => failure,
    })
}

/// Warns if the first token cannot create others: only the first one is created without a token.
fn warn_of_last(terminal: Terminal, client: &Client, made: &Value) {
    let admin = ["*", "tokens:admin"].map(Value::from);
    if !client.shows_token() && !items(made, "scopes").iter().any(|scope| admin.contains(scope)) {
        terminal.print_status(
            "moxxy: warning: nobody can make another token with this one, which lacks `tokens:admin`; what can, on \
             the server's machine and while the server is stopped: moxxy token create --offline --scope '*'",
        );
    }
}

impl NewToken {
    /// Returns the request body for the API.
    fn body(self) -> Value {
        let (description, seconds) = (self.description, self.expires_in_seconds);
        json!({ "scopes": self.scopes, "description": description, "expires_in_seconds": seconds })
    }
}

/// Prints only the token on stdout, so that a shell can capture it.
pub(crate) fn shown_once(terminal: Terminal, made: &Answer) -> CliResult {
    terminal.show(made, |token| text(token, "token") + "\n")?;
    let expires = time(&made.value, "expires_at");
    let until = if expires.is_empty() { "it is revoked".to_owned() } else { format!("{expires} UTC") };
    terminal.note(&format!(
        "Made {}, which may {}, until {until}. Its text is shown only this once.",
        text(&made.value, "id"),
        scopes(&made.value)
    ));
    Ok(())
}

fn scopes(token: &Value) -> String {
    items(token, "scopes").iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
}

async fn list(client: &Client, terminal: Terminal) -> CliResult {
    let tokens = client.list(Call::get("/v1/auth/tokens"), None).await?;
    let empty = "No tokens yet. Make one: moxxy token create --scope SCOPE";
    terminal.list(&tokens, empty, |tokens| {
        let row = |token: &Value| {
            let revoked = time(token, "revoked_at");
            let ends = if revoked.is_empty() { time(token, "expires_at") } else { format!("revoked {revoked}") };
            let used = time(token, "last_used_at");
            [text(token, "id"), scopes(token), time(token, "created_at"), used, ends, text(token, "description")]
        };
        let headings = ["TOKEN", "SCOPES", "CREATED (UTC)", "LAST USED", "ENDS", "DESCRIPTION"];
        terminal::table(headings, tokens.iter().map(row))
    })
}
