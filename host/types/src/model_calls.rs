//! Model calls: requests to a provider for a completion.

use strum::IntoStaticStr;

use crate::{
    agents::{AgentKey, Fallback},
    ids::{ModelCallId, Name, RunId},
    money::{Dollars, Price},
    runs::Failure,
};

/// A model call that was made.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "sqlx", derive(sqlx::FromRow))]
pub struct ModelCall {
    pub id: ModelCallId,
    pub provider: Name,
    pub model: String,
    pub status: Status,
    /// Size of the request, in bytes.
    pub bytes: Option<i64>,
    /// Why it failed.
    #[cfg_attr(feature = "sqlx", sqlx(json(nullable)))]
    pub error: Option<Failure>,
    /// The model that is called next instead of this one.
    #[cfg_attr(feature = "sqlx", sqlx(json(nullable)))]
    pub next: Option<Fallback>,
}

/// A model call before its request is sent.
#[derive(Debug, Clone)]
pub struct NewModelCall {
    pub agent: AgentKey,
    pub run: Option<RunId>,
    pub provider: Name,
    pub model: String,
    /// Size of the request, in bytes.
    pub bytes: u64,
    /// Maximum usage.
    pub reserved_tokens: u64,
    pub reserved_cost: Dollars,
    pub price: Option<Price>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(rename_all = "lowercase"))]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum Status {
    Running,
    Completed,
    Failed,
    /// Its run was stopped.
    Cancelled,
    /// The server stopped during the call. It is repeated.
    Interrupted,
}

impl ModelCall {
    /// Returns the model that was called.
    pub fn called(&self) -> Fallback {
        Fallback { provider: self.provider.clone(), model: self.model.clone() }
    }

    /// Returns the code of its failure.
    pub fn code(&self) -> Option<&str> {
        self.error.as_ref().map(|error| &*error.code)
    }
}
