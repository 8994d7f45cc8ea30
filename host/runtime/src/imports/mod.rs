//! Host interfaces offered to components, one module per interface, and their linker.

mod config;
pub(crate) mod http;
pub(crate) mod keyvalue;
pub(crate) mod logging;
mod session;
pub(crate) mod stdio;
pub(crate) mod vault;

use wasmtime::component::{HasSelf, Linker};

use super::{
    bindings::{imports::Imports, waiting::Waiting},
    state::CallState,
};

/// Interfaces that the linker provides, by package and interface. The linker decides on versions and types.
/// This table provides readable errors before compilation.
const OFFERED_INTERFACES: [&str; 17] = [
    "wasi:io/",
    "wasi:clocks/",
    "wasi:random/",
    "wasi:cli/",
    "wasi:filesystem/",
    "wasi:sockets/",
    "wasi:http/types",
    "wasi:http/outgoing-handler",
    "wasi:config/store",
    "wasi:keyvalue/store",
    "wasi:logging/logging",
    "moxxy:plugin/session",
    "moxxy:plugin/vault",
    "moxxy:plugin/vault-sign",
    "moxxy:plugin/vault-reveal",
    // Types that exports share with imports.
    "moxxy:plugin/plugin",
    "moxxy:plugin/tools",
];

/// Whether an import, such as `wasi:io/poll@0.2.6`, can be linked.
pub(crate) fn is_offered(import: &str) -> bool {
    let interface = import.split('@').next().unwrap_or(import);
    OFFERED_INTERFACES
        .iter()
        .any(|offered| if offered.ends_with('/') { interface.starts_with(offered) } else { interface == *offered })
}

/// Creates the linker with all interfaces, once for each engine.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<CallState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    Imports::add_to_linker::<_, HasSelf<CallState>>(&mut linker, CallState::count_host_call)?;
    Waiting::add_to_linker::<_, HasSelf<CallState>>(&mut linker, CallState::count_host_call)?;
    Ok(linker)
}
