//! Moxxy from outside: through HTTP, WIT and the command line, with a real database and real
//! components. One file for each noun, as in `host/src/http`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod agents;
mod auth;
mod besieged;
mod browser;
mod chromium;
mod cli;
mod clients;
mod commands;
mod config;
mod connections;
mod contract;
mod crafted;
mod errors;
mod events;
mod exhaustion;
mod forged;
mod harness;
mod health;
mod hoarding;
mod hostile;
mod idempotency;
mod invariants;
mod isolation;
mod kills;
mod languages;
mod loading;
mod manual;
mod pages;
mod providers;
mod proxy;
mod rates;
mod restart;
mod routes;
mod runs;
mod session;
mod skills;
mod storage;
mod stranger;
mod tls;
mod tokens;
mod tools;
mod upgrade;
mod vault;
mod versions;
