//! `/v1/models`: agents, in the format in which OpenAI's API lists models.

use axum::extract::State;
use moxxy_types::{agents::Agent, clock, ids::Name, paging::PageRequest};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    app::App,
    http::api::{
        answer::Result,
        auth::{AgentsRead, Caller},
        extract::Path,
        reply::Body,
    },
    services::agents,
};

/// All agents, because clients of OpenAI's API do not request further pages.
const ALL: PageRequest = PageRequest { limit: u32::MAX, after: None };

/// Agents, as models.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AgentModels {
    /// Always `list`.
    object: &'static str,
    /// By name.
    data: Vec<AgentModel>,
}

/// An agent, as a model.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AgentModel {
    /// The agent's name, which is the `model` of a chat completion.
    id: Name,
    /// Always `model`.
    object: &'static str,
    /// When it was made, in seconds since 1970 (UTC).
    created: i64,
    /// Always `moxxy`.
    owned_by: &'static str,
}

pub(super) async fn list(State(app): State<App>, _: Caller<AgentsRead>) -> Result<Body<AgentModels>> {
    let agents = agents::list(&app.runs, &ALL).await?;
    Ok(Body(AgentModels { object: "list", data: agents.items.into_iter().map(AgentModel::from).collect() }))
}

pub(super) async fn show(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path(name): Path<Name>,
) -> Result<Body<AgentModel>> {
    Ok(Body(agents::get(&app.runs, &name).await?.into()))
}

impl From<Agent> for AgentModel {
    fn from(agent: Agent) -> Self {
        let created = clock::parse(&agent.created_at).map_or(0, |created| created.unix_timestamp());
        Self { id: agent.name, object: "model", created, owned_by: "moxxy" }
    }
}
