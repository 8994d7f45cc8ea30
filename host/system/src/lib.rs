//! Tasks and threads, private directories, logging, and limits on text and JSON.

pub mod directory;
pub mod fair_semaphore;
pub mod in_flight;
pub mod json;
pub mod presence;
pub mod tasks;
pub mod telemetry;
pub mod text;
pub mod timeout;
