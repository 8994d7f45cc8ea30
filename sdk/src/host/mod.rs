//! What the host offers, behind one set of functions: in a component the imports, elsewhere the
//! host that [`testing`](crate::testing) simulates.

#[cfg(target_family = "wasm")]
mod component;
#[cfg(target_family = "wasm")]
mod network;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod rehearsed;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod simulated;

#[cfg(target_family = "wasm")]
pub(crate) use {component::*, network::*};
#[cfg(not(target_family = "wasm"))]
pub(crate) use {rehearsed::*, simulated::*};
