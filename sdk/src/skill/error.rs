//! Why a tool gave no result.

use std::fmt;

use crate::{bindings::tools::exports::moxxy::plugin::tools, session::AskError};

/// Why a tool gave no result. The model reads the text and may try again.
///
/// Any error becomes a [`Failed`](Self::Failed) by `?`, with its causes: those of the standard
/// library and of others, texts, `anyhow`'s. Write
/// [`invalid`](Self::invalid) where the arguments are to blame:
///
/// ```
/// use moxxy_sdk::skill::Error;
///
/// fn parse(number: &str) -> Result<u32, Error> {
///     number.parse().map_err(|error| Error::invalid(format!("`number`: {error}")))
/// }
///
/// fn read(bytes: &[u8]) -> Result<u32, Error> {
///     parse(std::str::from_utf8(bytes)?)
/// }
///
/// assert_eq!(read(b"12"), Ok(12));
/// assert!(matches!(read(b"twelve"), Err(Error::Invalid(_))));
/// assert!(matches!(read(b"\xff"), Err(Error::Failed(_))));
/// ```
///
/// An error type of your own that is not a [`std::error::Error`] chooses by `From`:
///
/// ```
/// use moxxy_sdk::{skill::Error, tool};
///
/// enum Trouble {
///     NoSuchCity(String),
///     ServiceDown,
/// }
///
/// impl From<Trouble> for Error {
///     fn from(trouble: Trouble) -> Self {
///         match trouble {
///             Trouble::NoSuchCity(name) => Self::invalid(format!("there is no city {name:?}")),
///             Trouble::ServiceDown => Self::failed("the weather service does not answer"),
///         }
///     }
/// }
///
/// /// Says what the weather is like.
/// #[tool(read_only)]
/// fn weather(city: String) -> Result<String, Trouble> {
///     if city.is_empty() { Err(Trouble::NoSuchCity(city)) } else { Err(Trouble::ServiceDown) }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The arguments are wrong; the text says which and how.
    Invalid(String),
    /// The arguments are right, and it still did not work; the text says why.
    Failed(String),
    /// The user was asked something: [`session::ask`](crate::session::ask) gives this by `?`. The call
    /// is made again when the answer is there.
    Pending,
}

impl Error {
    /// The arguments are wrong; the text says which and how.
    ///
    /// ```
    /// let error = moxxy_sdk::skill::Error::invalid("`divisor` is 0");
    /// # assert_eq!(error.to_string(), "`divisor` is 0");
    /// ```
    pub fn invalid(message: impl ToString) -> Self {
        Self::Invalid(message.to_string())
    }

    /// The arguments are right, and it still did not work; the text says why.
    ///
    /// ```
    /// let error = moxxy_sdk::skill::Error::failed("the service does not answer");
    /// ```
    pub fn failed(message: impl ToString) -> Self {
        Self::Failed(message.to_string())
    }

    /// There is no such tool: the answer of a [`Skill::call`](super::Skill::call) that does not
    /// know the name.
    ///
    /// ```
    /// let error = moxxy_sdk::skill::Error::unknown_tool("divde");
    /// # assert_eq!(error.to_string(), "there is no tool `divde`");
    /// ```
    pub fn unknown_tool(tool: &str) -> Self {
        Self::Invalid(format!("there is no tool `{tool}`"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(message) | Self::Failed(message) => f.write_str(message),
            Self::Pending => AskError::Pending.fmt(f),
        }
    }
}

// This is why `Error` cannot be a `std::error::Error` itself.
impl<E: Into<Box<dyn std::error::Error>>> From<E> for Error {
    fn from(error: E) -> Self {
        let error = error.into();
        let causes = std::iter::successors(error.source(), |error| error.source());
        let waits = |error: &(dyn std::error::Error + 'static)| error.downcast_ref() == Some(&AskError::Pending);
        if waits(&*error) || causes.clone().any(waits) {
            return Self::Pending;
        }
        Self::Failed(causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}")))
    }
}

#[doc(hidden)]
pub(super) fn to_wit(error: Error) -> tools::Error {
    match error {
        Error::Invalid(message) => tools::Error::Invalid(message),
        Error::Failed(message) => tools::Error::Failed(message),
        Error::Pending => tools::Error::Pending,
    }
}
