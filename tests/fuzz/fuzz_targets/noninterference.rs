//! Lets `cargo fuzz` look for what breaks `checks/noninterference.rs`.
#![no_main]

#[path = "../checks/mod.rs"]
#[allow(dead_code, reason = "each target uses one check")]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::noninterference::check(data));
