//! Life cycle of a secret's value: [`Value`] holds it, a [`Placeholder`] stands for it while a component writes a
//! request, [`inject`] replaces the placeholder as the request leaves, and [`redact`] removes the value from
//! responses and output. [`seal()`] and [`open`] encrypt and decrypt it for storage. Pure: independent of server,
//! database and components.

pub mod inject;
mod master;
pub mod place;
pub mod placeholder;
pub mod redact;
mod seal;
#[cfg(test)]
mod tests;
pub mod value;

pub use inject::{Injectable, Injected, Injector, Refusal, Rule, Watch};
pub use master::MasterKey;
pub use place::Place;
pub use placeholder::Placeholder;
pub use redact::{Redactor, Release, Stream};
pub use seal::{Row, open, seal};
pub use value::Value;
