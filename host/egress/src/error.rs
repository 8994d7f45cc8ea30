//! Errors of outgoing requests: refusals by a rule, exceeded limits, and network failures.

use std::time::Duration;

use super::address::AddressClass;

/// Reason for refusing a request. The text says what would allow it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the URL is refused: {0}")]
    Malformed(&'static str),
    #[error("it may not reach {host}: {advice}")]
    Host { host: String, advice: String },
    #[error("it may reach {host} by {allowed} only, not by {asked}: {advice}")]
    Port { host: String, allowed: String, asked: String, advice: String },
    #[error("it may send {allowed} to {host} only, not {asked}: its manifest would have to ask for that")]
    Method { host: String, allowed: String, asked: String },
    #[error("it may reach {host} below {allowed} only, and by paths without encoded slashes")]
    Path { host: String, allowed: String },
    #[error("{host} is {address}, {}{}", .class.into_str(), address_advice(*.class, .advice))]
    Address { host: String, address: std::net::IpAddr, class: AddressClass, advice: String },
    #[error("{0} is this server itself, which no rule allows")]
    OwnListener(String),
    #[error("it made more than the {0} requests of one call that `egress.requests` allows")]
    RequestLimit(u32),
    /// Refusal by the [`RequestInterceptor`](super::RequestInterceptor).
    #[error("{0}")]
    Secret(String),
}

fn address_advice(class: AddressClass, advice: &str) -> String {
    match class.can_be_allowed() {
        true => format!(": {advice}"),
        false => ", which no rule allows".into(),
    }
}

/// The phase that a timeout applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeoutPhase {
    /// Waiting for a connection.
    Connection,
    /// Waiting for the head of the response.
    ResponseHead,
    /// Waiting for the next chunk of the response body.
    Chunk,
    /// The whole request.
    Total,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the name {0} cannot be resolved")]
    UnresolvedName(String),
    #[error("{host} cannot be reached: {reason}")]
    Unreachable { host: String, reason: String },
    #[error("no encrypted connection to {host}: {reason}")]
    Tls { host: String, reason: String, certificate: bool },
    #[error("{}", timeout_message(*.0, *.1))]
    Timeout(TimeoutPhase, Duration),
    #[error("too many connections are open")]
    Busy,
    #[error("a request's body has more than {0} bytes (`egress.request_body`)")]
    RequestBody(u64),
    #[error("a response's body has more than {0} bytes (`egress.response_body`)")]
    ResponseBody(u64),
    #[error("a response's head is larger than {0} bytes (`egress.response_head`)")]
    ResponseHead(u64),
    #[error("more than {0} redirects (`egress.redirects`)")]
    Redirects(u32),
    /// The component's request body ended with an error.
    #[error("the request's body broke off: {0}")]
    Body(String),
    #[error("the connection broke: {0}")]
    Broken(String),
    /// A secret could not be injected, through no fault of the component.
    #[error("a secret could not be put into the request: {0}")]
    Secret(String),
}

fn timeout_message(phase: TimeoutPhase, time: Duration) -> String {
    let time = time.as_millis();
    match phase {
        TimeoutPhase::Connection => format!("no connection within {time} ms"),
        TimeoutPhase::ResponseHead => format!("no answer within {time} ms"),
        TimeoutPhase::Chunk => format!("a response paused for more than {time} ms"),
        TimeoutPhase::Total => format!("a request took more than {time} ms"),
    }
}

impl Error {
    /// Converts an error of hyper. Returns the original [`Error`] if a body produced it.
    pub(super) fn of_hyper(error: &hyper::Error, head: u64) -> Self {
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            if let Some(own) = cause.downcast_ref::<Self>() {
                return own.clone();
            }
            source = cause.source();
        }
        if error.is_parse_too_large() {
            return Self::ResponseHead(head);
        }
        Self::Broken(error.to_string())
    }
}
