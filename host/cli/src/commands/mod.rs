//! Commands, one per file.

pub mod agents;
pub mod audit;
pub mod backup;
pub mod build;
pub mod check;
pub mod completions;
pub mod config;
pub mod events;
pub mod grants;
pub mod health;
pub mod init;
pub mod inspect;
pub mod new;
pub mod policy;
pub mod providers;
pub mod questions;
pub mod restore;
pub mod runs;
pub mod secrets;
pub mod serve;
pub mod skills;
pub mod tokens;
pub mod vault;
