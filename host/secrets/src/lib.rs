//! What a secret's value goes through: [`Value`] holds it, a [`Placeholder`] stands for it while a
//! component writes a request, [`inject`] puts it in as the request leaves, and [`redact`] takes it
//! out of whatever comes back. [`seal()`] and [`open`] are how it is kept. Pure: knows no server, no database and no component.

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
