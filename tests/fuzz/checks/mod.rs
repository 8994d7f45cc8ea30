//! What has to hold for any bytes. `make fuzz` looks for bytes for which it does not; those that were
//! once found, or reach far, lie in `corpus/`, and the ordinary tests go through them.

pub mod grants;
pub mod inject;
pub mod install;
pub mod noninterference;
pub mod redact;
pub mod urls;
