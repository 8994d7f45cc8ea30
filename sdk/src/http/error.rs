//! Why a request has no answer, or none that is of use.

use std::{fmt, io};

/// Why a request has no answer, or none that is of use. It becomes a
/// [`skill::Error`](crate::skill::Error) by `?`.
///
/// ```
/// use moxxy_sdk::http::{self, Error};
///
/// let mut host = moxxy_sdk::testing::Host::new();
/// let result = host.run(|| http::get("https://example.com/").send().map(drop));
/// assert!(matches!(result, Err(Error::Denied(_))));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// No rule of the operator's allows it. The operator is told what would.
    Denied(String),
    /// The request is none that could be sent.
    Invalid(String),
    /// The host has no address, or cannot be connected to.
    Unreachable(String),
    /// It took too long.
    Timeout(String),
    /// A request or a response is larger than the operator allows.
    TooLarge(String),
    /// The connection broke, or what came is no HTTP.
    Broken(String),
    /// The status is none of success; see [`Response::ok`](super::Response::ok).
    Status {
        /// Such as 404.
        status: u16,
        /// What the service says, cut off after 4 KiB.
        body: String,
    },
    /// The body is not what it should be.
    Body(String),
}

impl Error {
    /// Whether the same request may work later.
    ///
    /// ```
    /// use moxxy_sdk::http::Error;
    ///
    /// assert!(Error::Status { status: 503, body: String::new() }.is_temporary());
    /// assert!(!Error::Denied("no".into()).is_temporary());
    /// ```
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Timeout(_) | Self::Broken(_) => true,
            Self::Status { status, .. } => is_temporary(*status),
            _ => false,
        }
    }
}

/// Whether a service with this status may answer later.
pub(super) fn is_temporary(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(text)
            | Self::Invalid(text)
            | Self::Unreachable(text)
            | Self::Timeout(text)
            | Self::TooLarge(text)
            | Self::Broken(text)
            | Self::Body(text) => f.write_str(text),
            Self::Status { status, body } if body.is_empty() => write!(f, "the service answered {status}"),
            Self::Status { status, body } => write!(f, "the service answered {status}: {body}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Timeout(_) => io::ErrorKind::TimedOut,
            Error::Denied(_) => io::ErrorKind::PermissionDenied,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
