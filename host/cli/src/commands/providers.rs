//! `moxxy provider`: installs, configures and checks providers.

use moxxy_types::ids::Name;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::{
    Options, arguments,
    client::{Call, Client},
    commands::check,
    component::{self, Change, Secrets, Source},
    failure::{CliResult, Exit, Failure},
    progress,
    settings::Settings,
    terminal::{self, Terminal, items, text, time},
};

const UPGRADING: &str = "Examples:
  moxxy provider upgrade mine my-provider.wasm
  moxxy provider upgrade mine --accept 'host:api.example.com POST'
  moxxy provider upgrade mine --accept 'host:nas.lan:8080 POST'   # not public: requires vault:write";
const INSTALLING: &str = "Examples:
  moxxy provider install offline                 # comes with the server, works without a network
  moxxy provider install mine my-provider.wasm --set base_url=https://api.example.com
  moxxy provider install mine my-provider.wasm --settings settings.json
  moxxy provider install mine my-provider.wasm --secret api_key=openai";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Install a provider, for all agents.
    #[command(after_help = INSTALLING)]
    Install {
        /// The name that agents use.
        #[arg(value_parser = arguments::name)]
        id: Name,
        /// A component's file, or the name of one that comes with the server (default: ID).
        component: Option<String>,
        /// What the component's digest has to be.
        #[arg(long, value_name = "sha256:…")]
        digest: Option<String>,
        #[command(flatten)]
        config: Settings,
        #[command(flatten)]
        secrets: Secrets,
    },
    /// List the providers.
    List,
    /// Show a provider with its configuration.
    Show(Provider),
    /// Change a provider's configuration; what is not named stays as it is.
    Update {
        #[command(flatten)]
        provider: Provider,
        #[command(flatten)]
        config: Settings,
        #[command(flatten)]
        secrets: Secrets,
        /// Consent to something that it asks for, or to `all`. Can stand more than once.
        #[arg(long, value_name = "NAME|all")]
        accept: Vec<String>,
        /// Take one option away. Can stand more than once.
        #[arg(long, value_name = "KEY")]
        unset: Vec<String>,
        /// How many of its completions run at once; 0: as many as the server's configuration says.
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=1000))]
        concurrency: Option<u32>,
    },
    /// Upgrade a provider, or change your consent; agents keep using it.
    #[command(after_help = UPGRADING)]
    Upgrade {
        #[command(flatten)]
        provider: Provider,
        #[command(flatten)]
        change: Change,
    },
    /// Go back to the version before the last upgrade, with its configuration.
    Rollback(Provider),
    /// List the models of a provider.
    Models(Provider),
    /// Test a provider against its real service: models, an answer, streaming and a tool call.
    Test {
        #[command(flatten)]
        provider: Provider,
        /// The model (default: the first that the service lists).
        #[arg(long)]
        model: Option<String>,
    },
    /// Try a provider on the conformance suite, against a scripted service.
    #[command(after_help = check::CHECKING)]
    Check(check::Args),
    /// Remove a provider that no agent uses.
    Remove(Provider),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Provider {
    /// The provider's name.
    #[arg(value_parser = arguments::name)]
    id: Name,
}

pub(crate) async fn run(options: &Options, command: Command) -> CliResult {
    // A check may need no server.
    if let Command::Check(args) = command {
        return check::run(options, args).await;
    }
    let (client, terminal) = (Client::new(options)?, options.terminal());
    match command {
        Command::Check(_) => Ok(()),
        Command::Install { id, component, digest, config, secrets } => {
            let component = Source::from_argument(component.as_deref().unwrap_or(id.as_str()))?.to_json();
            let (config, secrets) = (config.over(Map::new())?, secrets.to_json());
            let body =
                json!({ "id": id, "component": component, "digest": digest, "config": config, "secrets": secrets });
            let installing = client.answer(Call::post("/v1/providers").json(body));
            let installed = progress::with_spinner(format!("Installing {id}"), installing).await?;
            terminal.show(&installed, |provider| {
                let (version, digest) = (text(provider, "version"), text(provider, "digest"));
                format!("Installed the provider `{id}`: {} {version} ({digest})\n", text(provider, "name"))
            })?;
            terminal.note(&format!("Its models: moxxy provider models {id}"));
            Ok(())
        }
        Command::Test { provider: Provider { id }, model } => test(&client, terminal, &id, model).await,
        Command::List => list(&client, terminal).await,
        Command::Show(Provider { id }) => terminal.show(&client.answer(at(Method::GET, &id, "")).await?, render),
        Command::Update { provider: Provider { id }, config, secrets, accept, unset, concurrency } => {
            let given = !config.is_empty() || !unset.is_empty();
            let before = configured(&client, &id).await?;
            let patch = config.patch(&before, &unset)?;
            if !given && accept.is_empty() && secrets.is_empty() && concurrency.is_none() {
                let how = "--set, --unset, --settings, --secret, --accept or --concurrency say what";
                return Err(Failure::usage(format!("Nothing is to change; {how}")));
            }
            // Sending an unchanged configuration again consents to the hosts that it names.
            let config = given.then_some(patch);
            let mut body =
                json!({ "config": config, "secrets": secrets.to_json(), "accept": component::accepted(&accept) });
            if let (Some(most), Some(body)) = (concurrency, body.as_object_mut()) {
                body.insert("concurrency".into(), Some(most).filter(|most| *most > 0).into());
            }
            let updated = client.answer(at(Method::PATCH, &id, "").json(body)).await?;
            terminal.show(&updated, render)
        }
        Command::Upgrade { provider: Provider { id }, change } => {
            let done = if change.has_component() { "Upgraded" } else { "Changed the consent of" };
            let call = change.send(at(Method::POST, &id, "/upgrade"))?;
            let upgraded = progress::with_spinner(format!("Upgrading {id}"), client.answer(call)).await?;
            terminal.show(&upgraded, |provider| now_at(done, provider))
        }
        Command::Rollback(Provider { id }) => {
            let back = client.answer(at(Method::POST, &id, "/rollback"));
            let back = progress::with_spinner(format!("Rolling back {id}"), back).await?;
            terminal.show(&back, |provider| now_at("Went back to", provider))
        }
        Command::Models(Provider { id }) => models(&client, terminal, &id).await,
        Command::Remove(Provider { id }) => {
            let removed = client.answer(at(Method::DELETE, &id, "")).await?;
            terminal.show(&removed, |_| format!("Removed the provider `{id}`.\n"))
        }
    }
}

fn now_at(done: &str, provider: &Value) -> String {
    format!("{done} `{}` {} ({})\n", text(provider, "id"), text(provider, "version"), text(provider, "digest"))
}

fn at(method: Method, id: &Name, rest: &str) -> Call {
    Call::new(method, format!("/v1/providers/{id}{rest}"))
}

async fn configured(client: &Client, id: &Name) -> CliResult<Map<String, Value>> {
    let provider = client.answer(at(Method::GET, id, "")).await?.value;
    Ok(provider.get("config").and_then(Value::as_object).cloned().unwrap_or_default())
}

fn passed(test: &Value) -> bool {
    test.get("passed").and_then(Value::as_bool).unwrap_or_default()
}

/// Tests a provider. Fails if a test fails.
async fn test(client: &Client, terminal: Terminal, id: &Name, model: Option<String>) -> CliResult {
    let call = at(Method::POST, id, "/test").json(json!({ "model": model }));
    let report = progress::with_spinner(format!("Testing {id}"), client.answer(call)).await?;
    terminal.show(&report, |report| {
        let outcome = |test: &Value| {
            let result = if passed(test) { "passed" } else { "FAILED" };
            let time = format!("{} ms", text(test, "milliseconds"));
            [text(test, "name"), result.to_owned(), time, terminal::line(&text(test, "message"), 400)]
        };
        let table = terminal::table(["TEST", "RESULT", "TIME", ""], items(report, "tests").iter().map(outcome));
        let adaptations: Vec<_> = items(report, "adaptations").iter().filter_map(Value::as_str).collect();
        let adapted = match adaptations.is_empty() {
            true => String::new(),
            false => format!("The provider adapts to the service: {}\n", adaptations.join(", ")),
        };
        format!("Model: {}\n{table}{adapted}", text(report, "model"))
    })?;
    match items(&report.value, "tests").iter().all(passed) {
        true => Ok(()),
        false => Err(Failure::new(Exit::Failed, "tests_failed", "Some tests failed")),
    }
}

async fn list(client: &Client, terminal: Terminal) -> CliResult {
    let providers = client.list(Call::get("/v1/providers"), None).await?;
    let empty = "No providers yet. Install one: moxxy provider install offline";
    terminal.list(&providers, empty, |providers| {
        let row = |provider: &Value| {
            let (name, version) = (text(provider, "name"), text(provider, "version"));
            [text(provider, "id"), name, version, time(provider, "created_at"), text(provider, "description")]
        };
        let headings = ["PROVIDER", "COMPONENT", "VERSION", "INSTALLED (UTC)", "DESCRIPTION"];
        terminal::table(headings, providers.iter().map(row))
    })
}

fn render(provider: &Value) -> String {
    let config = provider.get("config").and_then(Value::as_object);
    let config = config.into_iter().flatten().map(|(key, value)| format!("{key} = {value}\n"));
    terminal::fields([
        ("Provider", text(provider, "id")),
        ("Component", text(provider, "name")),
        ("Version", text(provider, "version")),
        ("Description", text(provider, "description")),
        ("Digest", text(provider, "digest")),
        ("Installed", time(provider, "created_at")),
        ("Updated", time(provider, "updated_at")),
        ("Asks for", component::requested_permissions(provider)),
        ("Granted", component::granted(provider)),
        ("Can never", component::never(provider)),
        ("Conformance", conformance(provider)),
        ("At once", text(provider, "concurrency")),
        ("Configuration", config.collect()),
    ])
}

/// Returns the result of the last conformance check.
fn conformance(provider: &Value) -> String {
    let Some(check) = provider.get("check").filter(|check| !check.is_null()) else { return String::new() };
    let [passed, failed] = ["passed", "failed"].map(|name| text(check, name));
    let cases: Vec<_> = terminal::items(check, "failed_cases").iter().filter_map(Value::as_str).collect();
    let cases = if cases.is_empty() { String::new() } else { format!(": {}", cases.join(", ")) };
    format!("{passed} passed, {failed} failed{cases} (suite {}, {})", text(check, "suite"), time(check, "checked_at"))
}

async fn models(client: &Client, terminal: Terminal, id: &Name) -> CliResult {
    let asking = client.list(at(Method::GET, id, "/models"), None);
    let models = progress::with_spinner(format!("Asking {id}"), asking).await?;
    terminal.list(&models, "It has no models. Is it configured? `moxxy provider update` does that.", |models| {
        let row = |model: &Value| {
            let (context, output) = (text(model, "context_window"), text(model, "max_output_tokens"));
            let price = |of: &str| model.get("price").map(|price| text(price, of)).unwrap_or_default();
            [text(model, "id"), context, output, price("input"), price("output"), text(model, "display_name")]
        };
        // Prices are per million tokens.
        terminal::table(["MODEL", "CONTEXT", "OUTPUT", "US$/M IN", "US$/M OUT", "NAME"], models.iter().map(row))
    })
}
