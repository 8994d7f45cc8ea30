//! Extractors, responses, errors, paging, idempotency, authentication and OpenAPI, shared by all routes.

pub mod answer;
pub mod auth;
pub mod body;
pub mod extract;
pub mod idempotency;
pub mod middleware;
pub mod paging;
pub mod prefer;
pub mod reply;
