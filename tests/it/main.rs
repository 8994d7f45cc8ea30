//! Integration tests over HTTP, WIT and the command line, with a real database and real components. One file per
//! noun, as in `host/server/src/http`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod agents;
mod arguments;
mod audit;
mod audit_removal;
mod auth;
mod author_workflow;
mod backup;
mod browser;
mod budget;
mod call_context;
mod capacity;
mod chat;
mod chat_turns;
mod chromium;
mod cli;
mod client_disconnects;
mod client_tools;
mod clients;
mod commands;
mod compaction;
mod components;
mod config;
mod config_docs;
mod conformance;
mod connection_pool;
mod connections;
mod contract;
mod crash;
mod disk_full;
mod egress;
mod engine;
mod errors;
mod events;
mod examples;
mod exhaustion;
mod fallback;
mod fuzz;
mod grants;
mod handle_exhaustion;
mod harness;
mod health;
mod hostile;
mod hostile_servers;
mod idempotency;
mod install_crash;
mod installations;
mod isolation;
mod jobs;
mod languages;
mod llm;
mod loading;
mod loopback;
mod malformed_modules;
mod migrations;
mod misconfigurations;
mod openai;
mod outcomes;
mod output_schema;
mod pages;
mod peer;
mod permissions;
mod policy;
mod previous_version;
mod privilege_limits;
mod provider_concurrency;
mod provider_keys;
mod providers;
mod proxy;
mod questions;
mod rates;
mod reads;
mod redaction;
mod refusals;
mod responses;
mod restart;
mod retention;
mod routes;
mod runs;
mod secrets;
mod server_attacks;
mod service_cases;
mod skills;
mod sse_resume;
mod stopping;
mod storage;
mod strict_session;
mod tls;
mod tokens;
mod tool_names;
mod tools;
mod upgrade;
mod vault;
mod versions;
