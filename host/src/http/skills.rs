//! `/v1/agents/{name}/skills`.

use axum::{
    Json as Body,
    extract::{FromRequest, Multipart, Request, State, multipart::MultipartError},
    http::{HeaderMap, StatusCode, header},
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    agents::location,
    answer::{Answer, Result},
    auth::{AgentsRead, AgentsWrite, Caller, RunsWrite},
    extract::{Json, Path},
};
use crate::{
    app::App,
    digest::Digest,
    domain::{
        consent::{Accept, All},
        skills::{self, Install, View},
        source::Source,
        upgrade,
    },
    error::Error,
    ids::Name,
    store,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invocation {
    tool: String,
    #[serde(default)]
    arguments: Map<String, Value>,
}

pub async fn list(State(app): State<App>, _: Caller<AgentsRead>, Path(name): Path<Name>) -> Result<Body<Vec<View>>> {
    let mut db = app.store.read().await?;
    let key = store::agents::get(&mut db, &name).await?.key;
    Ok(Body(store::skills::list(&mut db, key).await?.into_iter().map(View::from).collect()))
}

pub async fn install(
    State(app): State<App>,
    _: Caller<AgentsWrite>,
    Path(name): Path<Name>,
    install: Install,
) -> Result<(StatusCode, HeaderMap, Body<View>)> {
    let skill = View::from(skills::install(&app, name.clone(), install).await?);
    let place = location(&format!("/v1/agents/{name}/skills/{}", skill.skill_id));
    Ok((StatusCode::CREATED, place, Body(skill)))
}

/// Replaces the component; 409 if the new one asks for more than was consented to.
pub async fn upgrade(
    State(app): State<App>,
    _: Caller<AgentsWrite>,
    Path((name, skill_id)): Path<(Name, Name)>,
    install: Install,
) -> Result<Body<View>> {
    Ok(Body(upgrade::upgrade(&app, name, skill_id, install).await?.into()))
}

/// Goes back to the component before.
pub async fn rollback(
    State(app): State<App>,
    _: Caller<AgentsWrite>,
    Path((name, skill_id)): Path<(Name, Name)>,
) -> Result<Body<View>> {
    Ok(Body(upgrade::rollback(&app, name, skill_id).await?.into()))
}

pub async fn show(
    State(app): State<App>,
    _: Caller<AgentsRead>,
    Path((name, skill_id)): Path<(Name, Name)>,
) -> Result<Body<View>> {
    let mut db = app.store.read().await?;
    let key = store::agents::get(&mut db, &name).await?.key;
    Ok(Body(store::skills::get(&mut db, key, &skill_id).await?.into()))
}

pub async fn delete(
    State(app): State<App>,
    _: Caller<AgentsWrite>,
    Path((name, skill_id)): Path<(Name, Name)>,
) -> Result<StatusCode> {
    skills::remove(&app, name, skill_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Calls one tool; the answer is its result, a JSON string if it is text.
pub async fn invoke(
    State(app): State<App>,
    _: Caller<RunsWrite>,
    Path((name, skill_id)): Path<(Name, Name)>,
    Json(call): Json<Invocation>,
) -> Result<Body<Value>> {
    let output = skills::invoke_directly(&app, name, skill_id, call.tool, call.arguments).await?;
    Ok(Body(output.to_value()))
}

/// A JSON object, or a form with the component in the part `component`.
impl FromRequest<App> for Install {
    type Rejection = Answer;
    async fn from_request(request: Request, app: &App) -> Result<Self> {
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if !content_type.is_some_and(|value| value.starts_with("multipart/form-data")) {
            return Json::from_request(request, app).await.map(|Json(install)| install);
        }
        let form = Multipart::from_request(request, app).await;
        read_form(form.map_err(|e| Error::invalid("invalid_form", e.body_text()))?).await
    }
}

async fn read_form(mut form: Multipart) -> Result<Install> {
    let (mut component, mut digest, mut accept) = (None, None, None::<Accept>);
    while let Some(part) = form.next_field().await.map_err(form_error)? {
        match part.name().unwrap_or_default().to_owned().as_str() {
            "component" => component = Some(part.bytes().await.map_err(form_error)?.to_vec()),
            "digest" => digest = Some(Digest::try_from(part.text().await.map_err(form_error)?)?),
            "accept" => {
                let named = consent(&part.text().await.map_err(form_error)?);
                accept = Some(accept.map_or_else(|| named.clone(), |before| before.and(named.clone())));
            }
            other => return Err(Error::invalid_field(other, "the parts are `component`, `digest` and `accept`").into()),
        }
    }
    let component = component.ok_or_else(|| Error::invalid_field("component", "the form has no such part"))?;
    Ok(Install { source: Source::Upload(component), digest, accept })
}

/// In a form: `all`, or names with commas between them.
fn consent(text: &str) -> Accept {
    match text.trim() {
        "all" => Accept::All(All::All),
        names => {
            let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
            Accept::Names(names.map(str::to_owned).collect())
        }
    }
}

fn form_error(error: MultipartError) -> Answer {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Error::too_large("The upload is too large").into();
    }
    Error::invalid("invalid_form", format!("The form cannot be read: {}", error.body_text())).into()
}
