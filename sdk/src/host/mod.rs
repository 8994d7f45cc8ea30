//! What the host offers, behind one set of functions: in a component the imports, elsewhere the
//! host that [`testing`](crate::testing) simulates.

#[cfg(target_family = "wasm")]
mod component;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod mock_host;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod mock_http;
#[cfg(target_family = "wasm")]
mod wasi_http;

#[cfg(target_family = "wasm")]
pub(crate) use {component::*, wasi_http::*};
#[cfg(not(target_family = "wasm"))]
pub(crate) use {mock_host::*, mock_http::*};
