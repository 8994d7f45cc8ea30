//! Providers: adapters to services that run language models.
//!
//! ```
//! use moxxy_sdk::provider::{Chunk, Error, Manifest, Model, Provider, Request, StopReason};
//!
//! /// Answers with the last message.
//! struct Echo;
//!
//! impl Provider for Echo {
//!     type Completion = std::vec::IntoIter<Result<Chunk, Error>>;
//!
//!     fn manifest() -> Manifest {
//!         Manifest::new("echo", "1.0.0", "Answers with the last message.")
//!     }
//!
//!     fn models() -> Result<Vec<Model>, Error> {
//!         Ok(vec![Model::new("echo")])
//!     }
//!
//!     fn complete(request: Request) -> Result<Self::Completion, Error> {
//!         if request.model != "echo" {
//!             return Err(Error::unknown_model(&request.model));
//!         }
//!         let text = request.messages.last().map(|message| message.text()).unwrap_or_default();
//!         Ok(vec![Ok(Chunk::Text(text)), Ok(Chunk::Stop(StopReason::EndTurn))].into_iter())
//!     }
//! }
//!
//! moxxy_sdk::export_provider!(Echo);
//! # assert_eq!(Echo::models().unwrap()[0].id, "echo");
//! ```
//!
//! What most adapters need is here too: the requests to a [`Service`] as the operator configured it, its
//! [`Key`], what it says when it refuses ([`Refusal`]), models that the operator describes ([`KnownModel`]),
//! and the completion that a stream makes ([`Chunks`]), which [`http::Events`](crate::http::Events) or
//! [`http::Lines`](crate::http::Lines) reads.
//!
//! `examples/whisper.rs` beside this crate's sources is a whole adapter to a service of its own. Whether
//! one is right, `moxxy provider check` says, with a wire such as `examples/whisper.wire.toml`.

mod chunks;
mod error;
mod headers;
mod json;
mod key;
mod known;
mod message;
mod refusal;
mod schema;
mod service;
mod think_tags;

use std::cell::RefCell;
use std::marker::PhantomData;

use crate::{
    bindings::{models::exports::moxxy::plugin::models, plugin::exports::moxxy::plugin::plugin},
    skill::tell_of_panics,
};

pub use crate::manifest::Manifest;
pub use chunks::{Chunks, Source};
pub use headers::with_headers;
pub use json::{join_surrogates, or_absent, parse_json};
pub use key::Key;
pub use known::{KnownModel, KnownPrice};
/// What a completion is asked for, what it yields, and what models and messages are made of. `wit/models.wit`
/// documents each field; the [module](self) shows most of them at work.
#[doc(inline)]
pub use models::{
    Chunk, Error, Image, LimitExceeded, Message, Model, ModelOptions, OpaquePart, Part, Price, Request, Retry, Role,
    StopReason, Thinking, ToolCall, ToolCallDelta, ToolDefinition, ToolResult, Unsupported, Usage,
};
pub use refusal::Refusal;
pub use schema::all_schemas;
pub use service::Service;
pub use think_tags::{Tagged, ThinkTags};

/// An adapter to a service. Hand the type that implements it to
/// [`export_provider!`](crate::export_provider). See the [module](self) for an example.
pub trait Provider: 'static {
    /// A completion under way: it yields chunks until it is exhausted, and is dropped when the
    /// host has enough. Only a [`Chunk::Stop`] makes it whole; nothing is asked of it after an
    /// error.
    type Completion: Iterator<Item = Result<Chunk, Error>> + 'static;

    /// Describes the provider. It is called once, when the provider is installed, without
    /// configuration, secrets or network.
    fn manifest() -> Manifest;

    /// Lists the models that the service offers now.
    ///
    /// # Errors
    ///
    /// When the service does not say.
    fn models() -> Result<Vec<Model>, Error>;

    /// Starts a completion.
    ///
    /// # Errors
    ///
    /// When the service turns the request down, or the request makes no sense.
    fn complete(request: Request) -> Result<Self::Completion, Error>;
}

impl Model {
    /// A model of which nothing but the id is known.
    ///
    /// ```
    /// let model = moxxy_sdk::provider::Model::new("large-1");
    /// # assert_eq!(model.context_window, None);
    /// ```
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            display_name: None,
            context_window: None,
            max_output_tokens: None,
            price: None,
            calls_tools: None,
            reads_images: None,
        }
    }
}

/// The component that a [`Provider`] makes.
#[doc(hidden)]
pub struct Component<P>(PhantomData<P>);

/// The resource that a [`Provider::Completion`] makes.
#[doc(hidden)]
pub struct Completion<C>(RefCell<C>);

impl<P: Provider> plugin::Guest for Component<P> {
    fn get_manifest() -> Manifest {
        tell_of_panics();
        P::manifest()
    }
}

impl<P: Provider> models::Guest for Component<P> {
    type Completion = Completion<P::Completion>;

    fn list_models() -> Result<Vec<Model>, Error> {
        tell_of_panics();
        P::models()
    }

    fn complete(request: Request) -> Result<models::Completion, Error> {
        tell_of_panics();
        let completion = P::complete(request)?;
        Ok(models::Completion::new(Completion(RefCell::new(completion))))
    }
}

impl<C: Iterator<Item = Result<Chunk, Error>> + 'static> models::GuestCompletion for Completion<C> {
    fn next(&self) -> Result<Option<Chunk>, Error> {
        self.0.borrow_mut().next().transpose()
    }
}

/// Makes a [`Provider`] the component's exports. Once per component. The module
/// [`provider`](crate::provider) has an example.
#[macro_export]
macro_rules! export_provider {
    ($provider:ty) => {
        // Elsewhere than in a component there is nobody to export to.
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Component = $crate::provider::Component<$provider>;
            $crate::bindings::plugin::export_plugin!(
                Component with_types_in $crate::bindings::plugin
            );
            $crate::bindings::models::export_models!(
                Component with_types_in $crate::bindings::models
            );
        };
        #[cfg(not(target_family = "wasm"))]
        const _: fn() -> $crate::provider::Manifest = <$provider as $crate::provider::Provider>::manifest;
    };
}
