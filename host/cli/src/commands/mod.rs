//! Commands, one per file.

pub(crate) mod agents;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod components;
pub(crate) mod config;
pub(crate) mod events;
pub(crate) mod grants;
pub(crate) mod health;
pub(crate) mod init;
pub(crate) mod inspect;
pub(crate) mod jobs;
pub(crate) mod new;
pub(crate) mod policy;
pub(crate) mod providers;
pub(crate) mod questions;
pub(crate) mod restore;
pub(crate) mod retention;
pub(crate) mod runs;
pub(crate) mod secrets;
pub(crate) mod serve;
pub(crate) mod skills;
pub(crate) mod tokens;
pub(crate) mod vault;
