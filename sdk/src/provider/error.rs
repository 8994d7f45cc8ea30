//! Errors by the kinds that the host knows, from what else goes wrong.

use std::error::Error as _;

use super::{Error, LimitExceeded, Retry, Unsupported};
use crate::{config, http, vault};

impl Error {
    /// The request names a model that the service does not have.
    ///
    /// ```
    /// # use moxxy_sdk::provider::Error;
    /// let error = Error::unknown_model("large-9");
    /// # assert!(matches!(error, Error::InvalidRequest(_)));
    /// ```
    pub fn unknown_model(model: &str) -> Self {
        Self::InvalidRequest(format!("there is no model `{model}`"))
    }

    /// The conversation does not fit the model. `limit` is the context window, if the service said it.
    ///
    /// ```
    /// # use moxxy_sdk::provider::Error;
    /// let error = Error::context_too_long("The window has 8192 tokens.", Some(8192));
    /// # assert!(matches!(error, Error::ContextTooLong(_)));
    /// ```
    pub fn context_too_long(message: impl Into<String>, limit: Option<u32>) -> Self {
        Self::ContextTooLong(LimitExceeded { message: message.into(), limit })
    }

    /// The service refuses a feature that the provider can do without. The host remembers the adaptation for the
    /// model and calls again with it; ask for it by [`Request::is_adapted`](super::Request::is_adapted).
    ///
    /// ```
    /// # use moxxy_sdk::provider::Error;
    /// let error = Error::unsupported("This model calls no tools.", "no-tools");
    /// # assert!(matches!(error, Error::Unsupported(_)));
    /// ```
    pub fn unsupported(message: impl Into<String>, adaptation: impl Into<String>) -> Self {
        Self::Unsupported(Unsupported { message: message.into(), adaptation: adaptation.into() })
    }

    /// The service ended its stream before it said that this is all.
    ///
    /// ```
    /// # use moxxy_sdk::provider::Error;
    /// let error = Error::broken_off();
    /// # assert!(matches!(error, Error::Transport(_)));
    /// ```
    pub fn broken_off() -> Self {
        Self::Transport("the service broke off before its answer was whole".to_owned())
    }

    /// The kind of error that a status is, by itself.
    ///
    /// ```
    /// use moxxy_sdk::provider::{Error, Retry};
    ///
    /// let error = Error::of_status(429, "slow down".into(), Some(2000));
    /// assert_eq!(error, Error::RateLimited(Retry { message: "slow down".into(), retry_after: Some(2000) }));
    /// ```
    pub fn of_status(status: u16, message: String, retry_after: Option<u64>) -> Self {
        match status {
            401 | 403 => Self::Authentication(message),
            429 => Self::RateLimited(Retry { message, retry_after }),
            408 | 425 | 500..=599 => Self::Overloaded(Retry { message, retry_after }),
            402 | 0..=399 => Self::Other(message),
            _ => Self::InvalidRequest(message),
        }
    }
}

/// What the operator's rules do not allow is no fault of the service's.
impl From<http::Error> for Error {
    fn from(error: http::Error) -> Self {
        use http::Error as E;
        let text = error.to_string();
        match error {
            E::Invalid(_) => Self::InvalidRequest(text),
            E::Denied(_) | E::TooLarge(_) => Self::Other(text),
            E::Status { status, .. } => Self::of_status(status, text, None),
            E::Unreachable(_) | E::Timeout(_) | E::Broken(_) | E::Body(_) => Self::Transport(text),
        }
    }
}

/// Nothing that is sent to the service changes a wrong configuration.
impl From<config::Error> for Error {
    fn from(error: config::Error) -> Self {
        match error.source() {
            Some(source) => Self::InvalidRequest(format!("{error}: {source}")),
            None => Self::Other(error.to_string()),
        }
    }
}

impl From<vault::Error> for Error {
    fn from(error: vault::Error) -> Self {
        match error {
            vault::Error::Denied(reason) => Self::Authentication(reason),
            vault::Error::Other(reason) => Self::Other(reason),
        }
    }
}
