//! Bodies that may contain a component: a JSON object, or a form with the same fields and the component as a file.

use axum::{
    body::Body as Sent,
    extract::{FromRequest, Multipart, Request, multipart::MultipartError},
    http::{StatusCode, header},
};
use moxxy_types::error::Error;
use serde_json::{Map, Value, json};

use crate::{
    http::{
        api::{
            answer::{ApiError, Result},
            body,
            extract::Json,
            schema::RequestBody,
        },
        state::HttpState,
    },
    services::{
        installations::{install::NewInstallation, upgrade::Upgrade},
        providers::NewProvider,
        skills::Install,
        source::Source,
    },
};

/// A JSON object, or a form.
#[derive(Debug)]
pub(crate) struct Upload<T>(pub T);

/// A request with a component.
pub(crate) trait WithComponent: RequestBody + Send + 'static {
    fn set_component(&mut self, component: Source);
}

impl<T: WithComponent> FromRequest<HttpState> for Upload<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &HttpState) -> Result<Self> {
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if !content_type.is_some_and(|value| value.starts_with("multipart/form-data")) {
            return Json::from_request(request, state).await.map(|Json(body)| Self(body));
        }
        let (parts, sent) = request.into_parts();
        let whole = body::read(&parts, sent, state).await?;
        let form = Multipart::from_request(Request::from_parts(parts, Sent::from(whole)), state).await;
        let form = form.map_err(|e| Error::invalid("invalid_form", e.body_text()))?;
        let (component, mut fields) = read_form(form).await?;
        // Stands for the bytes, which need not be encoded.
        fields.insert("component".into(), json!({ "base64": "" }));
        let fields = serde_json::to_vec(&fields).map_err(Error::internal)?;
        let mut body: T = body::parsed(fields.into()).await?;
        body.set_component(Source::Upload(component));
        Ok(Self(body))
    }
}

/// Reads the component and the other fields.
async fn read_form(mut form: Multipart) -> Result<(Vec<u8>, Map<String, Value>)> {
    let (mut component, mut fields) = (None, Map::new());
    while let Some(part) = form.next_field().await.map_err(form_error)? {
        let name = part.name().unwrap_or_default().to_owned();
        if name == "component" {
            component = Some(part.bytes().await.map_err(form_error)?.to_vec());
            continue;
        }
        let text = part.text().await.map_err(form_error)?;
        let value = match &*name {
            "accept" | "agents" | "revoke" => list(&text, fields.remove(&name)),
            "config" | "secrets" | "concurrency" => serde_json::from_str(&text)
                .map_err(|e| Error::invalid_field(&name, format!("the part is not JSON: {e}")))?,
            _ => Value::String(text),
        };
        fields.insert(name, value);
    }
    let component = component.ok_or_else(|| Error::invalid_field("component", "the form has no such part"))?;
    Ok((component, fields))
}

/// Parses `all`, or comma-separated names, and adds it to an earlier part of the same name.
fn list(text: &str, before: Option<Value>) -> Value {
    if text.trim() == "all" || before.as_ref().is_some_and(Value::is_string) {
        return json!("all");
    }
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(Value::from);
    let before = before.and_then(|before| before.as_array().cloned()).unwrap_or_default();
    before.into_iter().chain(names).collect()
}

fn form_error(error: MultipartError) -> ApiError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Error::too_large("The upload is too large").into();
    }
    Error::invalid("invalid_form", format!("The form cannot be read: {}", error.body_text())).into()
}

impl WithComponent for NewInstallation {
    fn set_component(&mut self, component: Source) {
        self.source = component;
    }
}

impl WithComponent for NewProvider {
    fn set_component(&mut self, component: Source) {
        self.component = component;
    }
}

impl WithComponent for Install {
    fn set_component(&mut self, component: Source) {
        self.source = component;
    }
}

impl WithComponent for Upgrade {
    fn set_component(&mut self, component: Source) {
        self.source = Some(component);
    }
}
