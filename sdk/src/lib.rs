//! Write skills and providers for Moxxy in Rust.
//!
//! A plugin is a WebAssembly component: a library crate with `crate-type = ["cdylib"]`, built
//! with `cargo build --release --target wasm32-wasip2`. This is a whole skill:
//!
//! ```
//! use moxxy_sdk::skill::{self, Error, Manifest, Output, Skill, Tool};
//! use serde::Deserialize;
//! use serde_json::{Value, json};
//!
//! struct Hello;
//!
//! #[derive(Deserialize)]
//! struct Greet {
//!     name: String,
//! }
//!
//! impl Skill for Hello {
//!     fn manifest() -> Manifest {
//!         Manifest::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), "Greets people.")
//!     }
//!
//!     fn tools() -> Vec<Tool> {
//!         let parameters = json!({
//!             "type": "object",
//!             "properties": { "name": { "type": "string", "description": "Whom to greet." } },
//!             "required": ["name"],
//!         });
//!         vec![Tool::new("greet", "Greets a person by name.", parameters).read_only()]
//!     }
//!
//!     fn call(tool: &str, arguments: Value) -> Result<Output, Error> {
//!         match tool {
//!             "greet" => {
//!                 let Greet { name } = skill::arguments(arguments)?;
//!                 Ok(Output::text(format!("Hello, {name}!")))
//!             }
//!             _ => Err(Error::unknown_tool(tool)),
//!         }
//!     }
//! }
//!
//! moxxy_sdk::export_skill!(Hello);
//! # let greeting = Hello::call("greet", json!({ "name": "Ada" })).unwrap();
//! # assert_eq!(greeting.content, "Hello, Ada!");
//! ```
//!
//! A provider implements [`provider::Provider`] and ends with [`export_provider!`]. Both read
//! their configuration with [`config`] and use secrets through [`vault`]; a skill remembers things
//! with [`keyvalue`], and [`log`]s for its operator.
#![warn(missing_docs)]

#[doc(hidden)]
pub mod bindings;
pub mod config;
pub mod keyvalue;
pub mod log;
pub mod manifest;
pub mod provider;
pub mod skill;
pub mod vault;
