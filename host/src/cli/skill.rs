//! `moxxy skill`.

use std::path::Path;

use reqwest::{
    Method,
    multipart::{Form, Part},
};
use serde_json::{Value, json};

use super::client::Client;
use crate::{
    config::Flags,
    error::{Error, Result},
    ids::Name,
};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Install a skill for an agent.
    Install {
        /// The agent's name.
        agent: String,
        /// A component's file, or the name of one that is bundled with the server.
        component: String,
    },
    /// List the skills of an agent.
    List {
        /// The agent's name.
        agent: String,
    },
    /// Call one tool and print its result.
    Invoke {
        /// The agent's name.
        agent: String,
        /// The skill's name.
        skill: String,
        /// The tool's name.
        tool: String,
        /// Its arguments, a JSON object.
        #[arg(default_value = "{}")]
        arguments: String,
    },
}

pub async fn run(flags: Flags, command: Command) -> Result<()> {
    let client = Client::new(&flags)?;
    match command {
        Command::Install { agent, component } => install(&client, &Name::try_from(agent)?, &component).await,
        Command::List { agent } => list(&client, &Name::try_from(agent)?).await,
        Command::Invoke { agent, skill, tool, arguments } => {
            let (agent, skill) = (Name::try_from(agent)?, Name::try_from(skill)?);
            let arguments: Value = serde_json::from_str(&arguments)
                .map_err(|e| Error::invalid("invalid_arguments", format!("The arguments are not JSON: {e}")))?;
            let request = client.request(Method::POST, &format!("/v1/agents/{agent}/skills/{skill}/invoke"));
            let result = client.json(request.json(&json!({ "tool": tool, "arguments": arguments }))).await?;
            match result.as_str() {
                Some(text) => println!("{text}"),
                None => println!("{result:#}"),
            }
            Ok(())
        }
    }
}

async fn install(client: &Client, agent: &Name, component: &str) -> Result<()> {
    let request = client.request(Method::POST, &format!("/v1/agents/{agent}/skills/install"));
    let request = match Name::try_from(component.to_owned()) {
        Ok(name) if !Path::new(component).is_file() => request.json(&json!({ "source": { "bundled": name } })),
        _ => request.multipart(form(component)?),
    };
    let skill = client.json(request).await?;
    println!("Installed `{}` {} ({})", text(&skill, "skill_id"), text(&skill, "version"), text(&skill, "digest"));
    Ok(())
}

fn form(path: &str) -> Result<Form> {
    let bytes = std::fs::read(path)
        .map_err(|e| Error::invalid("unreadable_component", format!("Cannot read the component {path}: {e}")))?;
    Ok(Form::new().part("component", Part::bytes(bytes).file_name("component.wasm")))
}

async fn list(client: &Client, agent: &Name) -> Result<()> {
    let skills = client.json(client.request(Method::GET, &format!("/v1/agents/{agent}/skills"))).await?;
    for skill in skills.as_array().into_iter().flatten() {
        println!("{} {}", text(skill, "skill_id"), text(skill, "version"));
        for tool in skill.get("tools").and_then(Value::as_array).into_iter().flatten() {
            println!("  {}: {}", text(tool, "name"), text(tool, "description"));
        }
    }
    Ok(())
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
