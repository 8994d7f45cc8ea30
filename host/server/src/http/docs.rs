//! `/v1/openapi.json` and the page that shows it, `/docs`, with all that it needs.

use std::sync::{Arc, OnceLock};

use aide::{
    OperationOutput,
    generate::GenContext,
    openapi::{Operation, Response as Described, StatusCode},
    redoc::Redoc,
};
use axum::{
    Extension,
    http::{HeaderValue, header},
    response::{Html, IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use moxxy_types::digest;
use schemars::json_schema;
use serde_json::json;

use crate::http::api::reply;

/// The document, as it is sent.
#[derive(Debug, Clone)]
pub struct Document(pub Bytes);

pub async fn document(Extension(document): Extension<Document>) -> Document {
    document
}

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], self.0).into_response()
    }
}

impl OperationOutput for Document {
    type Inner = ();
    fn inferred_responses(_: &mut GenContext, _: &mut Operation) -> Vec<(Option<StatusCode>, Described)> {
        let schema = json_schema!({ "type": "object", "additionalProperties": true });
        let example = json!({ "openapi": "3.1.0", "info": { "title": "Moxxy" } });
        vec![(Some(StatusCode::Code(200)), reply::described(schema, example, "The document.", &[]))]
    }
}

/// The page, and the policy under which a browser shows it: its one script, and nothing from
/// elsewhere.
struct Page {
    html: String,
    policy: String,
}

pub async fn page() -> Response {
    static PAGE: OnceLock<Arc<Page>> = OnceLock::new();
    let page = Arc::clone(PAGE.get_or_init(|| Arc::new(Page::new())));
    let policy = [(header::CONTENT_SECURITY_POLICY, page.policy.clone())];
    (policy, Html(page.html.clone())).into_response()
}

impl Page {
    fn new() -> Self {
        let html = Redoc::new("/v1/openapi.json").with_title("Moxxy").html();
        let script = html.split_once("<script>").and_then(|(_, rest)| Some(rest.rsplit_once("</script>")?.0));
        let hash = BASE64.encode(digest::sha256(script.unwrap_or_default().as_bytes()));
        let policy = format!(
            "default-src 'none'; script-src 'sha256-{hash}'; style-src 'unsafe-inline'; img-src data:; \
             connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        Self { html, policy }
    }
}
