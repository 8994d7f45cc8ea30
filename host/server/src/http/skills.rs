//! `/v1/agents/{name}/skills`.

use axum::{
    body::Body as Sent,
    extract::{FromRequest, Multipart, Request, State, multipart::MultipartError},
    http::{StatusCode, header},
};
use moxxy_types::{digest::Digest, error::Error, ids::Name};
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    app::App,
    http::{
        api::{
            answer::{ApiError, Result},
            auth::{AgentsRead, AgentsWrite, Caller, RunsWrite},
            body,
            extract::{IfMatch, Json, Paging, Path},
            reply::{Body, Created, Deleted, Paginated, WithEtag},
        },
        state::HttpState,
    },
    services::{
        installations::{
            Place,
            configure::{self, Patch},
            upgrade::{self, Upgrade},
        },
        invocations,
        permissions::{Accept, All},
        skills::{self, Install, View},
        source::Source,
    },
};

/// A tool to be called.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Invocation {
    /// One of the skill's `tools`, by its name.
    tool: String,
    /// As the tool's `parameters` say.
    #[serde(default)]
    arguments: Map<String, Value>,
}

/// Lists skills, by name.
pub(super) async fn list(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path(name): Path<Name>,
    paging: Paging,
) -> Result<Paginated<View>> {
    Ok(paging.show(skills::list(&app.components, &name, &paging.page).await?))
}

pub(super) async fn install(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path(name): Path<Name>,
    install: Install,
) -> Result<Created<View>> {
    let skill = skills::install(&app.components, caller.principal, name.clone(), install).await?;
    Ok(Created::new(format!("/v1/agents/{name}/skills/{}", skill.skill_id), skill))
}

/// Replaces the component. Returns 409 if the new one requests permissions without consent.
pub(super) async fn upgrade(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path((name, skill_id)): Path<(Name, Name)>,
    IfMatch(expected): IfMatch,
    upgrade: Upgrade,
) -> Result<WithEtag<View>> {
    let place = (Place::Skill { agent: name, name: skill_id }, expected);
    let upgraded = upgrade::upgrade(&app.components, caller.principal, place, upgrade).await?;
    Ok(WithEtag(skills::view(&app.components, upgraded)))
}

/// Changes the configuration and the permissions.
pub(super) async fn update(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path((name, skill_id)): Path<(Name, Name)>,
    IfMatch(expected): IfMatch,
    Json(patch): Json<Patch>,
) -> Result<WithEtag<View>> {
    let place = (Place::Skill { agent: name, name: skill_id }, expected);
    let updated = configure::update(&app.components, caller.principal, place, patch).await?;
    Ok(WithEtag(skills::view(&app.components, updated)))
}

/// Restores the previous component.
pub(super) async fn rollback(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path((name, skill_id)): Path<(Name, Name)>,
    IfMatch(expected): IfMatch,
) -> Result<WithEtag<View>> {
    let place = (Place::Skill { agent: name, name: skill_id }, expected);
    let back = upgrade::rollback(&app.components, caller.principal, place).await?;
    Ok(WithEtag(skills::view(&app.components, back)))
}

pub(super) async fn show(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path((name, skill_id)): Path<(Name, Name)>,
) -> Result<WithEtag<View>> {
    Ok(WithEtag(skills::get(&app.components, &name, &skill_id).await?))
}

pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller<AgentsWrite>,
    Path((name, skill_id)): Path<(Name, Name)>,
    IfMatch(expected): IfMatch,
) -> Result<Deleted> {
    skills::remove(&app.components, caller.principal, name, skill_id, expected).await?;
    Ok(Deleted)
}

/// Calls one tool and returns its result, as a JSON string if it is text.
pub(super) async fn invoke(
    State(app): State<App>,
    caller: Caller<RunsWrite>,
    Path((name, skill_id)): Path<(Name, Name)>,
    Json(call): Json<Invocation>,
) -> Result<Body<Value>> {
    let output =
        invocations::invoke(&app.components, caller.principal, name, skill_id, call.tool, call.arguments).await?;
    Ok(Body(output.to_value()))
}

impl FromRequest<HttpState> for Install {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &HttpState) -> Result<Self> {
        read_install(request, state).await
    }
}

impl FromRequest<HttpState> for Upgrade {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &HttpState) -> Result<Self> {
        read_install(request, state).await
    }
}

/// Reads a JSON object, or a form with the component in the part `component`.
async fn read_install<T: From<Install> + DeserializeOwned + Send + 'static>(
    request: Request,
    state: &HttpState,
) -> Result<T> {
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(|value| value.starts_with("multipart/form-data")) {
        return Json::from_request(request, state).await.map(|Json(install)| install);
    }
    let (parts, sent) = request.into_parts();
    let whole = body::read(&parts, sent, state).await?;
    let form = Multipart::from_request(Request::from_parts(parts, Sent::from(whole)), state).await;
    read_form(form.map_err(|e| Error::invalid("invalid_form", e.body_text()))?).await.map(T::from)
}

async fn read_form(mut form: Multipart) -> Result<Install> {
    let (mut component, mut digest, mut accept, mut config) = (None, None, None::<Accept>, Map::new());
    while let Some(part) = form.next_field().await.map_err(form_error)? {
        match part.name().unwrap_or_default().to_owned().as_str() {
            "component" => component = Some(part.bytes().await.map_err(form_error)?.to_vec()),
            "digest" => digest = Some(Digest::try_from(part.text().await.map_err(form_error)?)?),
            "accept" => {
                let named = consent(&part.text().await.map_err(form_error)?);
                accept = Some(accept.map_or_else(|| named.clone(), |before| before.and(named.clone())));
            }
            "config" => {
                let text = part.text().await.map_err(form_error)?;
                let wrong = |e| Error::invalid_field("config", format!("it is not a JSON object: {e}"));
                config = serde_json::from_str(&text).map_err(wrong)?;
            }
            other => {
                let reason = "the parts are `component`, `digest`, `accept` and `config`";
                return Err(Error::invalid_field(other, reason).into());
            }
        }
    }
    let component = component.ok_or_else(|| Error::invalid_field("component", "the form has no such part"))?;
    Ok(Install { source: Source::Upload(component), digest, accept, config })
}

/// Parses the form part `accept`: `all`, or comma-separated names.
fn consent(text: &str) -> Accept {
    match text.trim() {
        "all" => Accept::All(All::All),
        names => {
            let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
            Accept::Names(names.map(str::to_owned).collect())
        }
    }
}

fn form_error(error: MultipartError) -> ApiError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Error::too_large("The upload is too large").into();
    }
    Error::invalid("invalid_form", format!("The form cannot be read: {}", error.body_text())).into()
}
