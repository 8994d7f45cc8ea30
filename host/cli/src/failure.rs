//! Failure of a command: message, hint and exit code.

use std::{io, process::ExitCode};

use clap::error::ErrorKind;
use moxxy_types::error::Error;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::hints;

pub(crate) type CliResult<T = ()> = Result<T, Failure>;

/// Exit code of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Success = 0,
    Failed = 1,
    Usage = 2,
    Unreachable = 3,
    NotAllowed = 4,
    NotFound = 5,
    RunFailed = 6,
    Interrupted = 130,
}

/// Failure of a command.
#[derive(Debug)]
pub(crate) struct Failure {
    pub exit: Exit,
    /// Empty if there is nothing to print, or no reader of the output.
    message: String,
    advice: Option<String>,
    /// Document for `--json`: the server's error response, or one in its format.
    document: Value,
}

impl Exit {
    const ALL: [(Self, &str); 8] = [
        (Self::Success, "it worked"),
        (Self::Failed, "it did not work"),
        (Self::Usage, "the command line is wrong, or names a file that cannot be read"),
        (Self::Unreachable, "the server cannot be reached, or went away"),
        (Self::NotAllowed, "not allowed: the token, or what it may do"),
        (Self::NotFound, "there is no such thing"),
        (Self::RunFailed, "the run itself failed or was stopped"),
        (Self::Interrupted, "interrupted while it followed a run, which goes on"),
    ];

    /// The table of exit codes, for the help.
    pub fn table() -> String {
        Self::ALL.iter().map(|(exit, meaning)| format!("\n  {:<5}{meaning}", *exit as u8)).collect()
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Failure {
    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let document = json!({ "error": message, "code": code });
        Self { exit, message, advice: None, document }
    }

    /// Creates the failure for a wrong command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    /// Whether the resource was changed since it was read.
    pub(crate) fn is_stale(&self) -> bool {
        self.document.get("code").and_then(Value::as_str) == Some("stale")
    }

    /// Creates the failure for an error response. `token`: whether the request carried one.
    pub(crate) fn from_response(status: StatusCode, body: Value, retry_after: Option<u64>, token: bool) -> Self {
        let text = |key: &str| body.get(key).and_then(Value::as_str);
        let unwell = (text("status") == Some("failing")).then_some("The server cannot work: its database is gone");
        let Some(message) = text("error").or(unwell) else {
            let message = format!("The server answered {status}, and not as a Moxxy server does");
            return Self::new(Exit::Failed, "unknown_answer", message).advise(hints::ANOTHER_SERVER);
        };
        let exit = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::NotAllowed,
            StatusCode::NOT_FOUND => Exit::NotFound,
            _ => Exit::Failed,
        };
        let code = text("code").unwrap_or_default();
        let advice = hints::for_response(status, code, message, retry_after, token);
        Self { exit, message: message.to_owned(), advice, document: body }
    }

    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Returns the text for stderr; `None` if there is none.
    pub(crate) fn render(&self, as_json: bool) -> Option<String> {
        match (&self.message, &self.advice) {
            (message, _) if message.is_empty() => None,
            _ if as_json => Some(self.document.to_string()),
            (message, Some(advice)) => Some(format!("moxxy: {message}\n{advice}")),
            (message, None) => Some(format!("moxxy: {message}")),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match &error {
            Error::NotFound(_) => Exit::NotFound,
            Error::Unauthenticated(_) | Error::Forbidden(_) => Exit::NotAllowed,
            Error::Invalid(problem, _) if problem.code.starts_with("unreadable_") => Exit::Usage,
            _ => Exit::Failed,
        };
        // The user of the command line may see an inner error, unlike a client of the API.
        let message = match &error {
            Error::Internal(source) => source.to_string(),
            other => other.to_string(),
        };
        let mut failure = Self::new(exit, error.code(), message);
        if let Error::Invalid(_, details) | Error::Conflict(_, details) = &error
            && !details.is_empty()
            && let Value::Object(document) = &mut failure.document
        {
            document.insert("details".into(), json!(details));
        }
        failure
    }
}

impl From<clap::Error> for Failure {
    /// Keeps clap's message and drops the help after it.
    fn from(error: clap::Error) -> Self {
        use ErrorKind::{DisplayHelpOnMissingArgumentOrSubcommand, MissingSubcommand};
        if matches!(error.kind(), DisplayHelpOnMissingArgumentOrSubcommand | MissingSubcommand) {
            return Self::usage("The command is incomplete; --help shows what may follow");
        }
        let text = error.to_string();
        let text = text.split("\n\nUsage:").next().unwrap_or_default();
        let text = text.split("\n\nFor more information").next().unwrap_or_default();
        Self::usage(text.trim_start_matches("error: ").trim())
    }
}

impl From<io::Error> for Failure {
    /// A closed pipe, as with `head`, is not a failure.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Exit::Success, "", ""),
            _ => Self::new(Exit::Failed, "output_failed", format!("Cannot write the output: {error}")),
        }
    }
}
