//! Lets `cargo fuzz` look for what breaks `checks/install.rs`.
#![no_main]

#[path = "../checks/mod.rs"]
#[allow(dead_code, reason = "each target uses one check")]
mod checks;

use wasm_smith::Component;

// Bytes as they are, and components that are made of them.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    checks::install::check(data);
    let mut random = libfuzzer_sys::arbitrary::Unstructured::new(data);
    if let Ok(component) = random.arbitrary::<Component>() {
        checks::install::check(component.to_bytes().as_slice());
    }
});
