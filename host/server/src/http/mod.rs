//! REST API, and the only module that uses axum. This file lists the routes. Handlers are in one file per noun, shared
//! parts in `api`, connections in `net`.

mod agent_models;
mod agents;
mod api;
mod audit;
mod chat;
mod components;
mod docs;
mod events;
mod grants;
mod health;
mod jobs;
mod net;
mod openapi;
mod policy;
mod providers;
mod questions;
mod responses;
mod retention;
mod runs;
mod secrets;
mod sessions;
mod skills;
mod state;
mod tokens;

pub use net::socket_owner::is_known as owners_are_known;
pub use net::tls::{check as check_tls, is_configured as has_tls};

use axum::{Extension, Router, extract::DefaultBodyLimit, routing};
use moxxy_types::error::Result;
use tokio::net::TcpListener;

use std::sync::Arc;

use crate::{
    app::App,
    config::Config,
    http::{
        api::{answer, body, middleware},
        net::{connections, tls::Tls},
        openapi::{Document, Routes, claiming_post, delete, get, patch, post, put},
        state::HttpState,
    },
};

/// Serves until the shutdown, then lets open requests finish.
pub async fn serve(app: App, config: Arc<Config>, listener: TcpListener) -> Result<()> {
    let state = HttpState::new(app, config);
    let routes = router(&state)?;
    let tls = Tls::new(&state.config.server)?;
    connections::serve(&state, routes, listener, tls).await;
    Ok(())
}

/// Returns the OpenAPI document.
pub fn document() -> serde_json::Value {
    described().1
}

fn router(state: &HttpState) -> Result<Router> {
    let ([free, limited], document) = described();
    let document = Document(document.to_string().into());
    let limited = limited.route("/docs", routing::get(docs::page)).fallback(answer::no_route).layer((
        Extension(document),
        Extension(state.clone()),
        DefaultBodyLimit::disable(),
    ));
    middleware::apply_middleware(state, limited.with_state(state.clone()), free.with_state(state.clone()))
}

/// Returns the routes without rate limits, those with rate limits, and the OpenAPI document of both.
fn described() -> ([Router<HttpState>; 2], serde_json::Value) {
    openapi::describe([free, limited])
}

/// Returns whether a path is exempt from rate limits.
fn is_free(path: &str) -> bool {
    matches!(path, "/v1/health" | "/livez" | "/readyz")
}

fn free() -> Routes {
    Routes::new()
        .api_route("/v1/health", get("health", "Is the server well?", health::show))
        .api_route("/livez", get("live", "Does the process answer?", health::live))
        .api_route("/readyz", get("ready", "Can the server work?", health::show))
}

#[rustfmt::skip]
fn limited() -> Routes {
    Routes::new()
        .api_route("/v1/auth/tokens", get("list_tokens", "List tokens, oldest first", tokens::list)
            .merge(post("create_token", CREATE_TOKEN, tokens::create)))
        .api_route("/v1/auth/tokens/{token_id}", delete("revoke_token", "Revoke a token", tokens::revoke))
        .api_route("/v1/agents", get("list_agents", "List agents, by name", agents::list)
            .merge(post("create_agent", "Make an agent", agents::create)))
        .api_route("/v1/agents/{name}", get("get_agent", "Show an agent", agents::show)
            .merge(patch("update_agent", "Change an agent\nWhat is absent stays, `null` takes away.", agents::update))
            .merge(delete("delete_agent", "Stop an agent and remove all that is its own", agents::delete)))
        .api_route("/v1/agents/{name}/stop", post("stop_agent", "Stop all runs of an agent, running or queued", agents::stop))
        .api_route("/v1/agents/{name}/reset", post("reset_agent", "Stop an agent and begin a new session", agents::reset))
        .api_route("/v1/agents/{name}/runs", get("list_runs", "List an agent's runs, newest first", runs::list)
            .merge(claiming_post("start_run", START_RUN, runs::start)))
        .api_route("/v1/agents/{name}/runs/{run_id}", get("get_run", "Show a run with its steps and what it used", runs::show)
            .merge(delete("delete_run", "Delete a run that has ended\nIts messages, steps and events are deleted too. Its tokens and cost remain in the agent's usage.", runs::delete)))
        .api_route("/v1/agents/{name}/runs/{run_id}/stop", post("stop_run", "Stop a run", runs::stop))
        .api_route("/v1/runs", get("list_all_runs", "List the runs of all agents, newest first", runs::list_all))
        .api_route("/v1/runs/{run_id}", get("find_run", "Show a run by its id alone", runs::show_any))
        .api_route("/v1/agents/{name}/usage", get("list_usage", "Say what an agent used, day by day (UTC), latest first", agents::usage))
        .api_route("/v1/agents/{name}/history", get("list_messages", "List the messages of a session, oldest first", sessions::messages))
        .api_route("/v1/agents/{name}/sessions", get("list_sessions", "List an agent's sessions, oldest first", sessions::list))
        .api_route("/v1/agents/{name}/sessions/{session_id}", delete("delete_session", "Delete a session with its runs\nReturns 409 while one of the runs has not ended.", sessions::delete))
        .api_route("/v1/agents/{name}/questions", get("list_questions", "List what an agent's runs ask, oldest first\nQuestions, and calls that wait for an approval.", questions::list))
        .api_route("/v1/agents/{name}/ask-responses/{question_id}", post("answer_question", ANSWER_QUESTION, questions::answer))
        .api_route("/v1/agents/{name}/tool-policy", get("get_tool_policy", "Show an agent's tool policy", policy::show)
            .merge(put("set_tool_policy", SET_TOOL_POLICY, policy::set)))
        .api_route("/v1/agents/{name}/tool-policy/decisions", get("list_decisions", "List what was approved or denied for longer than one call, oldest first\nTo set the tool policy takes all of it back.", policy::decisions))
        .merge(installed())
}

/// Routes of installed components, secrets, clients of OpenAI's API and the log.
#[rustfmt::skip]
fn installed() -> Routes {
    let uploads = Extension(body::Upload);
    Routes::new()
        .api_route("/v1/components", get("list_components", "List installations of every kind, oldest first", components::list)
            .merge(post("install_component", INSTALL_COMPONENT, components::install).layer(uploads)))
        .api_route("/v1/components/{installation_id}", get("get_component", "Show an installation", components::show)
            .merge(patch("update_component", UPDATE_COMPONENT, components::update))
            .merge(delete("remove_component", "Remove an installation\nIts grants and key-value data are removed too. Returns 409 if it is a provider that agents use.", components::delete)))
        .api_route("/v1/components/{installation_id}/upgrade", post("upgrade_component", UPGRADE_PROVIDER, components::upgrade).layer(uploads))
        .api_route("/v1/components/{installation_id}/rollback", post("rollback_component", "Restore the previous version and its configuration", components::rollback))
        .api_route("/v1/agents/{name}/skills", get("list_skills", "List an agent's skills, by name", skills::list))
        .api_route("/v1/agents/{name}/skills/install", post("install_skill", "Install a skill", skills::install).layer(uploads))
        .api_route("/v1/agents/{name}/skills/{skill_id}", get("get_skill", "Show a skill, what it asks and is granted", skills::show)
            .merge(patch("update_skill", UPDATE_SKILL, skills::update))
            .merge(put("upgrade_skill", UPGRADE_SKILL, skills::upgrade).layer(uploads))
            .merge(delete("remove_skill", "Remove a skill with what it keeps", skills::delete)))
        .api_route("/v1/agents/{name}/skills/{skill_id}/upgrade", post("replace_skill", UPGRADE_SKILL, skills::upgrade).layer(uploads))
        .api_route("/v1/agents/{name}/skills/{skill_id}/rollback", post("rollback_skill", "Go back to the version before", skills::rollback))
        .api_route("/v1/agents/{name}/skills/{skill_id}/invoke", post("invoke_skill", "Call one tool\nThe answer is its result.", skills::invoke))
        .api_route("/v1/providers", get("list_providers", "List providers, by name", providers::list)
            .merge(post("install_provider", "Install a provider", providers::install).layer(uploads)))
        .api_route("/v1/providers/{provider_id}", get("get_provider", "Show a provider", providers::show)
            .merge(patch("update_provider", UPDATE_PROVIDER, providers::update))
            .merge(delete("remove_provider", "Remove a provider that no agent uses", providers::delete)))
        .api_route("/v1/providers/{provider_id}/upgrade", post("upgrade_provider", UPGRADE_PROVIDER, providers::upgrade).layer(uploads))
        .api_route("/v1/providers/{provider_id}/rollback", post("rollback_provider", "Restore the previous version and its configuration", providers::rollback))
        .api_route("/v1/providers/{provider_id}/models", get("list_models", "Ask a provider for its models", providers::models))
        .api_route("/v1/providers/{provider_id}/check", get("get_check", "Show what came of a provider's last check\nOf one of it as it is installed and configured now.", providers::checked)
            .merge(post("check_provider", CHECK_PROVIDER, providers::check)))
        .api_route("/v1/providers/{provider_id}/test", post("test_provider", TEST_PROVIDER, providers::test))
        .api_route("/v1/vault/secrets", get("list_secrets", "List secrets, oldest first, without their values", secrets::list)
            .merge(post("create_secret", "Keep a secret\nIts value is never shown again.", secrets::create)))
        .api_route("/v1/vault/secrets/{secret_id}", get("get_secret", "Show a secret, without its value", secrets::show)
            .merge(put("rotate_secret", "Give a secret another value\nIts id and its grants stay; the next call uses it.", secrets::rotate))
            .merge(delete("remove_secret", "Remove a secret with its value", secrets::delete)))
        .api_route("/v1/vault/grants", get("list_grants", "List grants of secrets, oldest first", grants::list)
            .merge(post("create_grant", CREATE_GRANT, grants::create)))
        .api_route("/v1/vault/grants/{grant_id}", delete("revoke_grant", "Revoke a grant\nThe next use is refused, in the midst of a run too.", grants::revoke))
        .api_route("/v1/chat/completions", claiming_post("complete_chat", COMPLETE_CHAT, chat::complete))
        .api_route("/v1/responses", claiming_post("create_response", CREATE_RESPONSE, responses::create))
        .api_route("/v1/responses/{response_id}", get("get_response", "Show a response of this token", responses::show)
            .merge(delete("delete_response", "Delete a response with its run", responses::delete)))
        .api_route("/v1/responses/{response_id}/cancel", post("cancel_response", "Stop the run of a response", responses::cancel))
        .api_route("/v1/models", get("list_agent_models", LIST_AGENT_MODELS, agent_models::list))
        .api_route("/v1/models/{name}", get("get_agent_model", "Show an agent as a model", agent_models::show))
        .api_route("/v1/events/stream", get("stream_events", "Follow what happens, as server-sent events", events::stream))
        .api_route("/v1/jobs", get("list_jobs", "List the server's background work, oldest first", jobs::list))
        .api_route("/v1/jobs/{job_id}", get("get_job", "Show a job with its last error", jobs::show)
            .merge(delete("delete_job", "Delete a dead job\nIts work is never done.", jobs::delete)))
        .api_route("/v1/jobs/{job_id}/retry", post("retry_job", "Run a job now\nA dead job becomes due again, and its attempts start at 0. Returns 409 while the job is running.", jobs::retry))
        .api_route("/v1/retention", get("list_retention", "Show how long data is kept, and what would be removed now", retention::list))
        .api_route("/v1/audit", get("list_audit", "Say who did what, newest first", audit::list))
        .api_route("/v1/audit/head", get("audit_head", "Show the audit log's head\nKept elsewhere, it proves that nothing before it was changed since.", audit::head))
        .api_route("/v1/openapi.json", get("openapi", "This document", docs::document))
}

const CREATE_TOKEN: &str = "Make a token\nThe very first needs no authentication from this machine in loopback \
    mode, and otherwise the one-time code that the server prints at its start. Others need `tokens:admin`, and have no more \
    scopes than the token that makes them. The token is shown this once.";
const INSTALL_COMPONENT: &str = "Install a component of any kind\nWith `agent_id` a skill is installed for that agent, \
    without it for the server. `agents` enables a skill of the server for agents: they share its configuration and its \
    permissions, and each has key-value data of its own.";
const UPDATE_COMPONENT: &str = "Change an installation's configuration, permissions and agents\nAbsent fields keep their \
    values. Naming a host that is not public, changing the host that receives a secret, granting a secret, or enabling a \
    skill that has such permissions for further agents requires `vault:write` too.";
const UPDATE_SKILL: &str = "Change a skill's configuration and permissions\nAbsent fields keep their values. Naming a host that \
    is not public, changing the host that receives a secret, or granting a secret requires `vault:write` too.";
const UPDATE_PROVIDER: &str = "Configure a provider, and let it use more\nWhat is absent stays. To move a host that a secret \
    goes to, to name one that is not public, or to give a secret takes `vault:write` too.";
const TEST_PROVIDER: &str = "Test a provider against its real service\nAsks for its models, for one short answer and for one tool \
    call, which the service charges for, and says what works.";
const CHECK_PROVIDER: &str = "Try a provider on the conformance suite\nIn its sandbox and as it is configured, against a \
    scripted service in the place of the real one: nothing leaves the server. It takes some seconds; one is checked \
    at a time.";
const CREATE_GRANT: &str = "Grant a secret\n`agent_id` and `secret_id` suffice: one grant for each skill of the agent \
    that asks for the secret now, as it asks. What is installed later asks anew.";
const ANSWER_QUESTION: &str = "Answer a question, or decide on an approval\nThe first answer counts, a second one is \
    409. The run goes on. To decide on an approval takes `agents:write`, and another token than the one that started \
    the run, unless the tool policy has `self_approval`.";
const SET_TOOL_POLICY: &str = "Set an agent's tool policy\nAs a whole: what is absent is as if it were never set. \
    Decisions that hold for longer than one call are forgotten.";
const COMPLETE_CHAT: &str = "Talk to an agent as to a model\nFor any client of OpenAI's chat completions. Each request \
    is a run, in which tools are used as in any other and nobody can be asked. A conversation that comes again with more \
    at its end continues its session. The agent's \
    own settings hold: `temperature`, `max_tokens` and whatever else is not named here is passed over. The answer is \
    all that the agent said in the run, the same in pieces and in one. Who leaves before its end stops the run, unless \
    the request has an `Idempotency-Key`, which does nothing for a stream. An error in the midst of a stream is a \
    frame with `error`, and nothing comes behind it.";
const CREATE_RESPONSE: &str = "Let an agent respond\nFor any client of OpenAI's Responses API. A response is a run as a chat \
    completion is, with the same rules, and `previous_response_id` continues its session. The events of a stream have the \
    names and fields of that API; `response.failed` ends one whose run fails.";
const LIST_AGENT_MODELS: &str = "List agents as models\nAll of them, in the envelope that clients of OpenAI's API \
    expect.";
const START_RUN: &str = "Give an agent a task\nThe run is queued behind those of its session. The answer comes at \
    once, or with `Prefer: wait=30` at the run's end, or after so many seconds.";
const UPGRADE_PROVIDER: &str = "Replace an installation's component, or consent to more\nAgents may use it \
    meanwhile: running calls finish on the previous version. If the new version requests permissions without consent, or \
    the configuration does not match its schema, the server returns 409 and keeps the previous version. Consent to \
    secrets, or to hosts with a port, requires `vault:write` too.";
const UPGRADE_SKILL: &str = "Replace a skill's component, or consent to more\nIf the new one asks for more than was \
    consented to, the answer is 409 and the old one stays, until `accept` names it. Without `component` the \
    component stays. Secrets, and hosts with a port, take `vault:write` too.";
