//! Extractors, responses, errors, paging, idempotency, authentication and OpenAPI, shared by all routes.

pub(super) mod answer;
pub(super) mod auth;
pub(super) mod body;
pub(super) mod extract;
pub(super) mod idempotency;
pub(super) mod middleware;
pub(in crate::http) mod openai_error;
pub(super) mod paging;
pub(super) mod prefer;
pub(super) mod reply;
pub(super) mod schema;
pub(super) mod upload;
