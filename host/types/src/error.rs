//! Failures by what a caller can do about them. Knows neither HTTP nor SQL.
//!
//! Trouble in a component keeps three names apart: the guest said no ([`Error::ComponentError`]), the guest
//! trapped or ran over a limit ([`Error::ComponentFault`]), the host refused ([`Error::Unavailable`]).

use std::{borrow::Cow, io};

use serde::Serialize;

pub type Result<T, E = Error> = std::result::Result<T, E>;
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// A stable code for programs and a sentence for people.
#[derive(Debug, Clone)]
pub struct Problem {
    pub code: Cow<'static, str>,
    pub message: String,
}

const DISK_FULL: &str = "disk_full";
const DATABASE_FAILED: &str = "database_failed";

/// One thing that is wrong with an input.
#[derive(Debug, Clone, Serialize)]
pub struct Detail {
    pub field: String,
    pub reason: String,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}", .0.message)]
    NotFound(Problem),
    #[error("{}", .0.message)]
    Conflict(Problem, Vec<Detail>),
    #[error("{}", .0.message)]
    Invalid(Problem, Vec<Detail>),
    /// It is not any more what the client believes it to be.
    #[error("{}", .0.message)]
    Stale(Problem),
    #[error("{}", .0.message)]
    TooLarge(Problem),
    #[error("{}", .0.message)]
    Unauthenticated(Problem),
    #[error("{}", .0.message)]
    Forbidden(Problem),
    /// A component did its part and reported a failure.
    #[error("{}", .0.message)]
    ComponentError(Problem),
    /// A component trapped, ran over a limit or broke its contract.
    #[error("{}", .0.message)]
    ComponentFault(Problem),
    /// What there is of it is used up.
    #[error("{}", .0.message)]
    Exhausted(Problem),
    /// The server cannot do it now; the same request may work later.
    #[error("{}", .0.message)]
    Unavailable(Problem),
    /// A defect or a broken machine. The source is for the log only.
    #[error("something went wrong inside the server")]
    Internal(#[source] Source),
}

impl Problem {
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// Whether there is no room for what was to be written.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl Error {
    /// `noun` is the lower-case name of a kind of thing, such as `agent`.
    pub fn not_found(noun: &'static str, id: impl std::fmt::Display) -> Self {
        let mut title = noun.replace('_', " ");
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Self::NotFound(Problem::new(format!("{noun}_not_found"), format!("{title} '{id}' not found")))
    }

    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::Conflict(Problem::new(code, message), Vec::new())
    }

    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid(Problem::new(code, message), Vec::new())
    }

    /// An invalid value in one named field.
    pub fn invalid_field(field: &str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        let problem = Problem::new("invalid_input", format!("Invalid `{field}`: {reason}"));
        Self::Invalid(problem, vec![Detail { field: field.to_owned(), reason }])
    }

    pub fn too_large(message: impl Into<String>) -> Self {
        Self::TooLarge(Problem::new("body_too_large", message))
    }

    pub fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self::Unavailable(Problem::new(code, message))
    }

    /// The change was not made, and can be made when there is room.
    pub fn disk_full() -> Self {
        Self::unavailable(DISK_FULL, "There is no room left on the disk, so the change was not made; make room there")
    }

    /// The change was not made. The log has the details.
    pub fn database_failed() -> Self {
        Self::unavailable(DATABASE_FAILED, "The database could not be read or written; the server's log says why")
    }

    /// Of a file that could not be written.
    pub fn from_write_error(error: io::Error) -> Self {
        if is_full(&error) { Self::disk_full() } else { Self::internal(error) }
    }

    /// Whether the disk is full or fails: what could not be done now may be done later, as it is.
    pub fn is_storage_error(&self) -> bool {
        matches!(self, Self::Unavailable(problem) if [DISK_FULL, DATABASE_FAILED].contains(&&*problem.code))
    }

    pub fn internal(source: impl Into<Source>) -> Self {
        Self::Internal(source.into())
    }

    /// The code that clients see.
    pub fn code(&self) -> &str {
        match self {
            Self::NotFound(p)
            | Self::Conflict(p, _)
            | Self::Invalid(p, _)
            | Self::Stale(p)
            | Self::TooLarge(p)
            | Self::Unauthenticated(p)
            | Self::Forbidden(p)
            | Self::ComponentError(p)
            | Self::ComponentFault(p)
            | Self::Exhausted(p)
            | Self::Unavailable(p) => &p.code,
            Self::Internal(_) => "internal",
        }
    }
}
