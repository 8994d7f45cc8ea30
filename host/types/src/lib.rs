//! Types shared by all crates of the server: ids, times, money, errors, resources and events.

pub mod agents;
pub mod audit;
pub mod checks;
pub mod clock;
pub mod components;
#[cfg(feature = "sqlx")]
pub mod database;
pub mod digest;
pub mod error;
pub mod events;
pub mod grants;
pub mod host_port;
pub mod idempotency;
pub mod ids;
pub mod messages;
pub mod money;
pub mod paging;
pub mod permissions;
pub mod policy;
pub mod providers;
pub mod questions;
pub mod runs;
pub mod secrets;
pub mod sessions;
pub mod skills;
pub mod tokens;
