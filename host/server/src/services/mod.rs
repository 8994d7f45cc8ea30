//! The rules: what an agent, a skill, a provider and a run are and may do. Knows no HTTP, no SQL
//! and no wasmtime.

pub mod agents;
pub mod audit;
pub mod backup;
pub mod bootstrap;
pub mod chat;
pub mod checks;
pub mod consent;
pub mod demo;
pub mod egress;
pub mod etag;
pub mod grants;
pub mod guarantees;
pub mod idempotency;
pub mod invocations;
pub mod messages;
pub mod models;
pub mod policy;
pub mod progress;
pub mod provider_concurrency;
pub mod providers;
pub mod questions;
pub mod refusals;
pub mod retention;
pub mod runs;
pub mod sessions;
pub mod skills;
pub mod source;
pub mod storage;
pub mod tokens;
pub mod upgrade;
pub mod vault;
