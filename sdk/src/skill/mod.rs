//! Skills: tools that a model may call.
//!
//! Most skills are functions with the attribute [`tool`](crate::tool) and one [`skill!`](crate::skill!):
//!
//! ```
//! use moxxy_sdk::{
//!     skill::{Error, Json},
//!     tool,
//! };
//! use serde::Serialize;
//!
//! #[derive(Serialize)]
//! struct Quotient {
//!     quotient: i64,
//!     remainder: i64,
//! }
//!
//! /// Divides one whole number by another.
//! #[tool(read_only, idempotent)]
//! fn divide(
//!     /// What is divided.
//!     dividend: i64,
//!     /// What it is divided by.
//!     divisor: i64,
//! ) -> Result<Json<Quotient>, Error> {
//!     let quotient = dividend.checked_div(divisor).ok_or_else(|| Error::invalid("`divisor` is 0"))?;
//!     Ok(Json(Quotient { quotient, remainder: dividend % divisor }))
//! }
//!
//! /// Says how often `divide` was used.
//! #[tool(read_only)]
//! fn uses() -> Result<String, Error> {
//!     let uses: u64 = moxxy_sdk::keyvalue::get_json("uses")?.unwrap_or(0);
//!     Ok(uses.to_string())
//! }
//!
//! moxxy_sdk::skill!(tools: [divide, uses]);
//! # let answer = moxxy_sdk::testing::Host::new().call::<divide>(serde_json::json!({ "dividend": 7, "divisor": 2 }));
//! # assert_eq!(answer.unwrap().content, r#"{"quotient":3,"remainder":1}"#);
//! ```
//!
//! A skill whose tools are only known when it is built, such as those of an API's description,
//! implements [`Skill`] itself.

mod error;
mod names;
mod output;
mod tool;

use std::marker::PhantomData;

use serde_json::Value;

use crate::bindings::{plugin::exports::moxxy::plugin::plugin, tools::exports::moxxy::plugin::tools};

pub use crate::manifest::Manifest;
pub use error::Error;
#[doc(hidden)]
pub use names::{are_distinct, is_name};
pub use output::{IntoOutput, Json, Output};
pub use tool::{Hints, Tool, ToolFunction, arguments, schema};

/// A set of tools. Hand the type that implements it to [`export_skill!`](crate::export_skill), or
/// let [`skill!`](crate::skill!) make one of functions.
///
/// ```
/// use moxxy_sdk::skill::{Error, Manifest, Output, Skill, Tool};
/// use serde_json::{Value, json};
///
/// struct Colours;
///
/// impl Skill for Colours {
///     fn manifest() -> Manifest {
///         Manifest::new("colours", "1.0.0", "Names colours.")
///     }
///
///     fn tools() -> Vec<Tool> {
///         ["red", "blue"].map(|name| Tool::new(name, format!("Says {name}."), json!({ "type": "object" }))).into()
///     }
///
///     fn call(tool: &str, _arguments: Value) -> Result<Output, Error> {
///         Ok(Output::text(tool))
///     }
/// }
///
/// moxxy_sdk::export_skill!(Colours);
/// ```
pub trait Skill: 'static {
    /// Describes the skill. It is called once, when the skill is installed, without
    /// configuration, secrets or network.
    fn manifest() -> Manifest;

    /// Lists the tools, under the same conditions as [`manifest`](Self::manifest).
    fn tools() -> Vec<Tool>;

    /// Calls a tool with the arguments that the model wrote. They are JSON, and nobody has
    /// compared them with the tool's schema: [`arguments`] reads them into a type of yours.
    ///
    /// # Errors
    ///
    /// The model reads the error's text and may try again.
    fn call(tool: &str, arguments: Value) -> Result<Output, Error>;
}

/// The component that a [`Skill`] makes.
#[doc(hidden)]
pub struct Component<S>(PhantomData<S>);

impl<S: Skill> plugin::Guest for Component<S> {
    fn get_manifest() -> Manifest {
        tell_of_panics();
        S::manifest()
    }
}

impl<S: Skill> tools::Guest for Component<S> {
    fn list_tools() -> Vec<Tool> {
        tell_of_panics();
        S::tools()
    }

    fn call(tool: String, arguments: String) -> Result<Output, tools::Error> {
        tell_of_panics();
        let arguments = serde_json::from_str(&arguments)
            .map_err(|error| tools::Error::Invalid(format!("the arguments are not JSON: {error}")))?;
        S::call(&tool, arguments).map_err(error::to_wit)
    }
}

/// A panic's message goes where the operator finds it: to the standard error, which the host
/// captures, and to the log where there is none.
pub(crate) fn tell_of_panics() {
    #[cfg(target_family = "wasm")]
    std::panic::set_hook(Box::new(|panic| match cfg!(target_os = "unknown") {
        true => crate::log::error("panic", &panic.to_string()),
        false => eprintln!("{panic}"),
    }));
}

#[doc(hidden)]
pub fn described(manifest: Manifest, describe: impl FnOnce(Manifest) -> Manifest) -> Manifest {
    describe(manifest)
}

/// Makes a skill of functions with the attribute [`tool`](crate::tool). Once per component, in the
/// crate's root.
///
/// Name, version and description are those in `Cargo.toml`. A tool may stand behind a `#[cfg(…)]`.
/// What the skill asks for is said by a function of its [`Manifest`]:
///
/// ```
/// /// Says what time it is elsewhere.
/// #[moxxy_sdk::tool(read_only)]
/// fn time() -> String {
///     # let ask = "";
///     // …
///     # ask.into()
/// }
///
/// moxxy_sdk::skill! {
///     tools: [time],
///     manifest: |manifest| manifest
///         .host("time.example.com", &["GET"], "To ask for the time.")
///         .secret("key", &["time.example.com"], "header:Authorization", "The service wants to know who asks."),
/// }
/// ```
#[macro_export]
macro_rules! skill {
    (tools: [$($(#[$attribute:meta])* $tool:ty),+ $(,)?] $(, manifest: $describe:expr)? $(,)?) => {
        const _: () = {
            const ABOUT: &str = env!("CARGO_PKG_DESCRIPTION");
            assert!(!ABOUT.is_empty(), "say what the skill does: `description = \"…\"` in Cargo.toml");
            assert!(
                $crate::skill::is_name(env!("CARGO_PKG_NAME")),
                "the skill goes by the `name` in Cargo.toml, which has to be 1 to 64 of a-z, 0-9 and -",
            );
            assert!(
                $crate::skill::are_distinct(&[$($(#[$attribute])* <$tool as $crate::skill::ToolFunction>::NAME),+]),
                "two tools have the same name",
            );

            struct Skill;

            impl $crate::skill::Skill for Skill {
                fn manifest() -> $crate::skill::Manifest {
                    let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
                    let manifest = $crate::skill::Manifest::new(name, version, ABOUT);
                    $(let manifest = $crate::skill::described(manifest, $describe);)?
                    manifest
                }

                fn tools() -> ::std::vec::Vec<$crate::skill::Tool> {
                    ::std::vec::Vec::from([
                        $($(#[$attribute])* <$tool as $crate::skill::ToolFunction>::definition()),+
                    ])
                }

                fn call(
                    tool: &str,
                    arguments: $crate::serde_json::Value,
                ) -> ::core::result::Result<$crate::skill::Output, $crate::skill::Error> {
                    $($(#[$attribute])* if tool == <$tool as $crate::skill::ToolFunction>::NAME {
                        return <$tool as $crate::skill::ToolFunction>::call(arguments);
                    })+
                    ::core::result::Result::Err($crate::skill::Error::unknown_tool(tool))
                }
            }

            $crate::export_skill!(Skill);
        };
    };
}

/// Makes a [`Skill`] the component's exports. Once per component.
///
/// ```
/// # use moxxy_sdk::skill::{Error, Manifest, Output, Skill, Tool};
/// struct Nothing;
///
/// impl Skill for Nothing {
///     // …
/// #    fn manifest() -> Manifest { Manifest::new("nothing", "1.0.0", "Does nothing.") }
/// #    fn tools() -> Vec<Tool> { Vec::new() }
/// #    fn call(tool: &str, _: serde_json::Value) -> Result<Output, Error> { Err(Error::unknown_tool(tool)) }
/// }
///
/// moxxy_sdk::export_skill!(Nothing);
/// ```
#[macro_export]
macro_rules! export_skill {
    ($skill:ty) => {
        // Elsewhere than in a component there is nobody to export to.
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Component = $crate::skill::Component<$skill>;
            $crate::bindings::plugin::export_plugin!(
                Component with_types_in $crate::bindings::plugin
            );
            $crate::bindings::tools::export_tools!(
                Component with_types_in $crate::bindings::tools
            );
        };
        #[cfg(not(target_family = "wasm"))]
        const _: fn(
            &str,
            $crate::serde_json::Value,
        ) -> ::core::result::Result<$crate::skill::Output, $crate::skill::Error> =
            <$skill as $crate::skill::Skill>::call;
    };
}
