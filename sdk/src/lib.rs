//! Write skills and providers for Moxxy in Rust.
//!
//! A skill is a set of tools that a model may call, and a tool is an ordinary function:
//!
//! ```
//! use moxxy_sdk::tool;
//!
//! /// Greets a person by name.
//! #[tool(read_only)]
//! fn greet(
//!     /// Whom to greet.
//!     name: String,
//! ) -> String {
//!     format!("Hello, {name}!")
//! }
//!
//! moxxy_sdk::skill!(tools: [greet]);
//! # assert_eq!(greet("Ada".into()), "Hello, Ada!");
//! ```
//!
//! That is the whole `src/lib.rs`. The model reads the doc comments; the arguments' JSON Schema is
//! derived from the parameters; name, version and description of the skill are those in
//! `Cargo.toml`. `moxxy new skill hello` makes such a crate and `moxxy build` a component of it.
//!
//! - [`tool`] and [`skill!`] in full, results and errors: [`mod@skill`].
//! - What a call can use: [`config`], [`http`], [`keyvalue`], [`log`], [`session`], [`vault`].
//! - Providers, the adapters to services that run language models: [`provider`].
//! - Tests of both in an ordinary `cargo test`: [`testing`].
//!
//! A component is called in a fresh instance each time: nothing that one call leaves in memory is
//! there in the next, and every call begins equally fast. It has one thread, and neither files nor
//! sockets nor environment variables.
#![warn(missing_docs)]

// What the macros write says `::moxxy_sdk`, in this crate's own examples and tests too.
extern crate self as moxxy_sdk;

#[cfg(all(target_family = "wasm", feature = "arena"))]
mod arena;
#[doc(hidden)]
pub mod bindings;
pub mod config;
mod host;
pub mod http;
pub mod keyvalue;
pub mod log;
pub mod manifest;
pub mod provider;
pub mod session;
pub mod skill;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod vault;

/// Makes a tool of a function.
///
/// The function's doc comment is the tool's description, written for the model: what it does and
/// when to use it. Its parameters are the arguments: each type implements `serde::Deserialize` and
/// `schemars::JsonSchema`, `Option` makes an argument optional, and a doc comment on a parameter
/// describes it. Attributes of serde and schemars work on parameters as on fields:
/// `#[serde(default)]`, `#[serde(flatten)]` for a struct of your own, `#[schemars(range(min = 1))]`.
/// An argument that is missing, unknown or of another type is refused before the function is
/// called, with a text that lets the model try again; where one is flattened, unknown ones pass.
/// What schemars' attributes say beyond the type, such as a range, the model is told, and nobody
/// checks it but the function.
///
/// It returns anything that is [`skill::IntoOutput`]: a text, [`skill::Json`], or a `Result` of
/// these with any error.
///
/// The function stays what it is, so that tests may call it; beside it a type of its name is made.
/// What it prints nobody sees, unless it breaks: write to the [`log`]. In the parentheses:
///
/// - `read_only`: a call changes nothing anywhere. Such calls may run in parallel.
/// - `idempotent`: two calls with equal arguments have the effect of one.
/// - `requires_approval`: a person should agree before each call.
/// - `name = "…"`: a name other than the function's.
///
/// ```
/// use moxxy_sdk::{
///     skill::{Error, Json},
///     tool,
/// };
///
/// /// Rolls dice and lists what they show.
/// #[tool]
/// fn roll(
///     /// How many sides each has; 6 unless told.
///     #[schemars(range(min = 2))]
///     sides: Option<u8>,
///     /// How many.
///     #[serde(default = "one")]
///     count: usize,
/// ) -> Result<Json<Vec<u32>>, Error> {
///     let roll = |sides| moxxy_sdk::session::random_u32().checked_rem(sides).map(|rest| rest + 1);
///     let rolled = (0..count).map(|_| roll(sides.unwrap_or(6).into())).collect::<Option<_>>();
///     rolled.map(Json).ok_or_else(|| Error::invalid("`sides` is at least 2"))
/// }
///
/// fn one() -> usize {
///     1
/// }
///
/// moxxy_sdk::skill!(tools: [roll]);
/// # assert_eq!(roll(None, 3).unwrap().0.len(), 3);
/// ```
pub use moxxy_sdk_macros::tool;

#[doc(hidden)]
pub use {schemars, serde, serde_json};
