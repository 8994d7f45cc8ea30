//! Skills: tools that a model may call.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::plugin::exports::moxxy::plugin::plugin;
use crate::bindings::tools::exports::moxxy::plugin::tools;

pub use crate::manifest::Manifest;
pub use tools::{Error, Hints, Output, Tool};

/// A set of tools. Hand the type that implements it to [`export_skill!`](crate::export_skill).
///
/// Each call gets a fresh instance of the component: nothing that one call leaves in memory is
/// there in the next.
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

/// Reads a tool's arguments into a type.
///
/// # Errors
///
/// [`Error::Invalid`] that says what is missing or wrong.
pub fn arguments<T: DeserializeOwned>(arguments: Value) -> Result<T, Error> {
    serde_json::from_value(arguments).map_err(Error::invalid)
}

impl Tool {
    /// A tool without hints. The description is written for the model: what it does and when to
    /// use it. The parameters are the arguments' JSON Schema, of type `object`.
    pub fn new(name: impl Into<String>, description: impl Into<String>, parameters: Value) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            parameters: parameters.to_string(),
            hints: Hints { read_only: false, idempotent: false, wants_approval: false },
        }
    }

    /// Says that a call changes nothing anywhere.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.hints.read_only = true;
        self
    }

    /// Says that two calls with equal arguments have the effect of one.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.hints.idempotent = true;
        self
    }

    /// Says that a person should agree before each call.
    #[must_use]
    pub fn wants_approval(mut self) -> Self {
        self.hints.wants_approval = true;
        self
    }
}

impl Output {
    /// Plain text.
    pub fn text(content: impl Into<String>) -> Self {
        Self { content: content.into(), media_type: "text/plain".to_owned() }
    }

    /// One JSON value.
    ///
    /// # Errors
    ///
    /// [`Error::Other`] when the value has no JSON form, such as a map whose keys are lists.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        let content =
            serde_json::to_string(value).map_err(|error| Error::Other(format!("the result is not JSON: {error}")))?;
        Ok(Self { content, media_type: "application/json".to_owned() })
    }
}

impl Error {
    /// The arguments are wrong; the text says which and how.
    pub fn invalid(message: impl ToString) -> Self {
        Self::Invalid(message.to_string())
    }

    /// The arguments are right, and it still did not work; the text says why.
    pub fn failed(message: impl ToString) -> Self {
        Self::Failed(message.to_string())
    }

    /// There is no such tool: the answer of a [`Skill::call`] that does not know the name.
    pub fn unknown_tool(tool: &str) -> Self {
        Self::Invalid(format!("there is no tool `{tool}`"))
    }
}

/// The component that a [`Skill`] makes.
#[doc(hidden)]
pub struct Component<S>(PhantomData<S>);

impl<S: Skill> plugin::Guest for Component<S> {
    fn get_manifest() -> Manifest {
        S::manifest()
    }
}

impl<S: Skill> tools::Guest for Component<S> {
    fn list_tools() -> Vec<Tool> {
        S::tools()
    }

    fn call(tool: String, arguments: String) -> Result<Output, Error> {
        let arguments = serde_json::from_str(&arguments)
            .map_err(|error| Error::invalid(format!("the arguments are not JSON: {error}")))?;
        S::call(&tool, arguments)
    }
}

/// Makes a [`Skill`] the component's exports. Once per component.
#[macro_export]
macro_rules! export_skill {
    ($skill:ty) => {
        const _: () = {
            type Component = $crate::skill::Component<$skill>;
            $crate::bindings::plugin::export_plugin!(
                Component with_types_in $crate::bindings::plugin
            );
            $crate::bindings::tools::export_tools!(
                Component with_types_in $crate::bindings::tools
            );
        };
    };
}
