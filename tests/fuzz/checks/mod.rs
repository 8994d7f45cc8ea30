//! What has to hold for any bytes. `make fuzz` looks for bytes for which it does not; those that were
//! once found, or reach far, lie in `corpus/`, and the ordinary tests go through them.

pub(super) mod grants;
pub(super) mod inject;
pub(super) mod install;
pub(super) mod noninterference;
pub(super) mod redact;
pub(super) mod urls;
