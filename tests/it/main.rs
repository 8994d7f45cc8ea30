//! Moxxy from outside: through HTTP, WIT and the command line, with a real database and real
//! components. One file for each noun, as in `host/server/src/http`.
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
mod backup;
mod besieged;
mod browser;
mod budget;
mod chat;
mod chromium;
mod cli;
mod clients;
mod commands;
mod compaction;
mod config;
mod conformance;
mod connections;
mod contract;
mod crafted;
mod crash;
mod egress;
mod errors;
mod events;
mod examples;
mod exhaustion;
mod fallback;
mod forged;
mod full;
mod fuzz;
mod grants;
mod harness;
mod health;
mod hoarding;
mod hostile;
mod idempotency;
mod isolation;
mod keys;
mod kills;
mod lanes;
mod languages;
mod leaving;
mod llm;
mod loading;
mod loopback;
mod manual;
mod migrations;
mod names;
mod openai;
mod outcomes;
mod pages;
mod peer;
mod providers;
mod proxy;
mod questions;
mod rates;
mod redaction;
mod refusals;
mod restart;
mod resuming;
mod retention;
mod reuse;
mod routes;
mod runs;
mod secrets;
mod session;
mod skills;
mod stopping;
mod storage;
mod stranger;
mod tls;
mod tokens;
mod tools;
mod trust;
mod upgrade;
mod vault;
mod versions;
