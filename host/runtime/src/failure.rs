//! Failures of calls. Errors of the component, faults of the component and refusals by the host stay distinct.

use moxxy_secrets::Redactor;
use moxxy_types::error::{Error, Problem};
use strum::IntoStaticStr;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The guest returned an error.
    ComponentError { code: &'static str, message: String, retry_after: Option<u64>, learned: Option<Learned> },
    /// The guest trapped or broke its contract.
    Trapped { message: String },
    /// The guest exceeded a limit.
    Limit { limit: Limit, message: String },
    /// The guest asked the user a question. The call is repeated with the answer.
    Pending { question: String },
    /// The host refused or stopped the call.
    Refused { code: &'static str, message: String },
}

/// What a provider learned of a model from an error of its service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Learned {
    /// Size of the context window, in tokens.
    ContextWindow(u32),
    /// Maximum number of output tokens.
    OutputLimit(u32),
    /// Name of an adaptation that later requests carry.
    Adaptation(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Limit {
    Cpu,
    Wall,
    Memory,
    Stack,
    Result,
    HostCalls,
    FirstToken,
    BetweenTokens,
    Storage,
    Handles,
}

impl Failure {
    pub fn refused(code: &'static str, message: impl Into<String>) -> Self {
        Self::Refused { code, message: message.into() }
    }

    pub fn component_error(code: &'static str, message: impl Into<String>) -> Self {
        Self::ComponentError { code, message: message.into(), retry_after: None, learned: None }
    }

    /// Returns the failure with secrets redacted from its message.
    pub fn redacted(mut self, redactor: &Redactor) -> Self {
        let (Self::ComponentError { message, .. }
        | Self::Trapped { message }
        | Self::Limit { message, .. }
        | Self::Pending { question: message }
        | Self::Refused { message, .. }) = &mut self;
        redactor.replace(message);
        self
    }

    pub fn code(&self) -> &'static str {
        match self {
            Self::ComponentError { code, .. } | Self::Refused { code, .. } => code,
            Self::Trapped { .. } => "component_trapped",
            Self::Limit { .. } => "component_limit",
            Self::Pending { .. } => "pending",
        }
    }

    pub fn message(&self) -> &str {
        match self {
            Self::ComponentError { message, .. }
            | Self::Trapped { message }
            | Self::Limit { message, .. }
            | Self::Pending { question: message }
            | Self::Refused { message, .. } => message,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let problem = Problem::new(failure.code(), failure.message());
        match failure {
            Failure::ComponentError { code: "invalid_arguments", .. } => Self::Invalid(problem, Vec::new()),
            Failure::ComponentError { .. } => Self::ComponentError(problem),
            Failure::Trapped { .. } | Failure::Limit { .. } => Self::ComponentFault(problem),
            Failure::Pending { .. } | Failure::Refused { .. } => Self::Unavailable(problem),
        }
    }
}
