//! What the server needs of its machine: tasks and threads, private folders, the log; and bounds on texts.

pub mod directory;
pub mod in_flight;
pub mod json;
pub mod tasks;
pub mod telemetry;
pub mod text;
