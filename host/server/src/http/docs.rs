//! `/v1/openapi.json`, and `/docs`, a self-contained page that shows it.

use std::sync::LazyLock;

use crate::http::openapi::{self, Document};
use axum::body::Bytes;
use axum::{
    Extension,
    http::header,
    response::{Html, IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use moxxy_types::digest;

pub(super) async fn document(Extension(document): Extension<Document>) -> Document {
    document
}

/// HTML page with its content security policy, which allows the page's only script and nothing from other hosts.
struct Page {
    /// Shared by all responses.
    html: Bytes,
    policy: String,
}

pub(super) async fn page() -> Response {
    static PAGE: LazyLock<Page> = LazyLock::new(Page::new);
    let page = &*PAGE;
    let policy = [(header::CONTENT_SECURITY_POLICY, page.policy.clone())];
    (policy, Html(page.html.clone())).into_response()
}

impl Page {
    fn new() -> Self {
        let html = openapi::page("/v1/openapi.json");
        let script = html.split_once("<script>").and_then(|(_, rest)| Some(rest.rsplit_once("</script>")?.0));
        let hash = BASE64.encode(digest::sha256(script.unwrap_or_default().as_bytes()));
        let policy = format!(
            "default-src 'none'; script-src 'sha256-{hash}'; style-src 'unsafe-inline'; img-src data:; \
             connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        Self { html: html.into(), policy }
    }
}
