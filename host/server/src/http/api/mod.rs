//! What all routes share: extractors, answers, pages, idempotency, scopes, and the description of the API.

pub mod answer;
pub mod auth;
pub mod body;
pub mod examples;
pub mod extract;
pub mod idempotency;
pub mod middleware;
pub mod openapi;
pub mod paging;
pub mod prefer;
pub mod reply;
pub mod route;
