//! Errors, classified by what a caller can do about them. Independent of HTTP and SQL.
//!
//! An error in a component has one of three variants: the guest reported a failure ([`Error::ComponentError`]),
//! the guest trapped or exceeded a limit ([`Error::ComponentFault`]), or the host refused the call
//! ([`Error::Unavailable`]).

use std::{borrow::Cow, io};

use serde::Serialize;

pub type Result<T, E = Error> = std::result::Result<T, E>;
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Stable code for programs and message for people.
#[derive(Debug, Clone)]
pub struct Problem {
    pub code: Cow<'static, str>,
    pub message: String,
}

const DISK_FULL: &str = "disk_full";
const DATABASE_FAILED: &str = "database_failed";
/// Code of the error for a damaged database.
pub const DATABASE_DAMAGED: &str = "database_damaged";

/// Invalid field, parameter or header of an input.
#[derive(Debug, Clone, Serialize)]
pub struct Detail {
    /// Its name. Fields are paths, such as `fallbacks[0].model`.
    pub field: String,
    /// The field as a JSON Pointer (RFC 6901) into the body; empty for the body itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    pub reason: String,
}

/// Invalid fields of a body, collected so that the client learns of all of them at once.
#[derive(Debug, Default)]
pub struct InvalidFields(Vec<Detail>);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}", .0.message)]
    NotFound(Problem),
    #[error("{}", .0.message)]
    Conflict(Problem, Vec<Detail>),
    #[error("{}", .0.message)]
    Invalid(Problem, Vec<Detail>),
    /// The resource has changed since the client read it.
    #[error("{}", .0.message)]
    Stale(Problem),
    #[error("{}", .0.message)]
    TooLarge(Problem),
    #[error("{}", .0.message)]
    Unauthenticated(Problem),
    #[error("{}", .0.message)]
    Forbidden(Problem),
    /// A component worked correctly and reported a failure.
    #[error("{}", .0.message)]
    ComponentError(Problem),
    /// A component trapped, exceeded a limit or violated its contract.
    #[error("{}", .0.message)]
    ComponentFault(Problem),
    /// A limited resource is used up.
    #[error("{}", .0.message)]
    Exhausted(Problem),
    /// The server cannot handle the request now; the same request may succeed later.
    #[error("{}", .0.message)]
    Unavailable(Problem),
    /// A defect or a broken machine. The source is for the log only.
    #[error("something went wrong inside the server")]
    Internal(#[source] Source),
}

impl Detail {
    /// Creates the detail of a field of a body. `body` is the body itself.
    pub fn field(field: &str, reason: impl Into<String>) -> Self {
        Self { field: field.to_owned(), pointer: Some(pointer(field)), reason: reason.into() }
    }

    /// Creates the detail of a parameter or a header.
    pub fn parameter(name: &str, reason: impl Into<String>) -> Self {
        Self { field: name.to_owned(), pointer: None, reason: reason.into() }
    }
}

/// Returns the JSON Pointer for the path of a field.
fn pointer(field: &str) -> String {
    if field == "body" {
        return String::new();
    }
    let path = field.replace('~', "~0").replace('/', "~1");
    format!("/{}", path.replace(['.', '['], "/").replace(']', ""))
}

impl InvalidFields {
    pub fn push(&mut self, field: &str, reason: impl Into<String>) {
        self.0.push(Detail::field(field, reason));
    }

    /// Adds the fields that a check found, and returns other errors.
    pub fn collect(&mut self, checked: Result<()>) -> Result<()> {
        match checked {
            Err(Error::Invalid(_, details)) if !details.is_empty() => {
                self.0.extend(details);
                Ok(())
            }
            other => other,
        }
    }

    pub fn into_result(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::invalid_fields(self.0)) }
    }
}

impl Problem {
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// Returns whether a write failed because the disk or the quota is full.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl Error {
    /// Creates a "not found" error. `noun` is the lower-case name of a kind of resource, such as `agent`.
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

    /// Creates an error for an invalid value in one field.
    pub fn invalid_field(field: &str, reason: impl Into<String>) -> Self {
        Self::invalid_fields(vec![Detail::field(field, reason)])
    }

    /// Creates an error for an invalid query parameter or header.
    pub fn invalid_parameter(name: &str, reason: impl Into<String>) -> Self {
        Self::invalid_fields(vec![Detail::parameter(name, reason)])
    }

    /// Creates an error for invalid fields, of which there is at least one.
    pub fn invalid_fields(details: Vec<Detail>) -> Self {
        let list: Vec<_> = details.iter().map(|wrong| format!("`{}`: {}", wrong.field, wrong.reason)).collect();
        Self::Invalid(Problem::new("invalid_input", format!("Invalid {}", list.join("; "))), details)
    }

    pub fn too_large(message: impl Into<String>) -> Self {
        Self::TooLarge(Problem::new("body_too_large", message))
    }

    pub fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self::Unavailable(Problem::new(code, message))
    }

    /// Error for a query of a client that ran into its time limit.
    pub fn query_too_slow() -> Self {
        Self::unavailable("query_too_slow", "The query exceeded its time limit: request less data, or try again later")
    }

    /// Creates the error for a full disk. The change was not made and can be retried once there is space.
    pub fn disk_full() -> Self {
        Self::unavailable(DISK_FULL, "There is no room left on the disk, so the change was not made; make room there")
    }

    /// Creates the error for a failed database operation. The change was not made; the log has the details.
    pub fn database_failed() -> Self {
        Self::unavailable(DATABASE_FAILED, "The database could not be read or written; the server's log says why")
    }

    /// Creates the error for a database with a damaged page. Repetition does not help.
    pub fn database_damaged() -> Self {
        let message = "The database is damaged: stop the server and restore a backup with `moxxy restore`";
        Self::unavailable(DATABASE_DAMAGED, message)
    }

    /// Creates the error for a database file that was removed or replaced while the server runs.
    pub fn data_missing(path: &std::path::Path) -> Self {
        let message = format!(
            "{} was removed or replaced while the server was running. Stop the server. Then put the data directory back, \
             or restore a backup with `moxxy restore`",
            path.display()
        );
        Self::unavailable("data_missing", message)
    }

    /// Returns whether the same request will fail until somebody repairs the machine.
    pub fn is_permanent(&self) -> bool {
        let codes = [DATABASE_DAMAGED, "data_missing", "compiler_failed", "out_of_memory"];
        matches!(self, Self::Unavailable(problem) if codes.contains(&&*problem.code))
    }

    pub fn is_database_damaged(&self) -> bool {
        matches!(self, Self::Unavailable(problem) if problem.code == DATABASE_DAMAGED)
    }

    /// Converts an error of writing a file.
    pub fn from_write_error(error: io::Error) -> Self {
        if is_full(&error) { Self::disk_full() } else { Self::internal(error) }
    }

    /// Returns whether the disk is full or failing, so that the same operation may succeed later.
    pub fn is_storage_error(&self) -> bool {
        matches!(self, Self::Unavailable(problem) if [DISK_FULL, DATABASE_FAILED].contains(&&*problem.code))
    }

    pub fn internal(source: impl Into<Source>) -> Self {
        Self::Internal(source.into())
    }

    /// Returns the code that clients see.
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
