//! Who may do what: each handler names the scope that it needs in its signature.

use std::marker::PhantomData;

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{Extensions, HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    middleware::Next,
    response::Response,
};
use moxxy_types::{
    error::{Error, Problem},
    tokens::{Principal, Scope, Token},
};

use crate::{
    http::{
        api::answer::{ApiError, Result},
        net::{
            limits::{Bucket, Client, Failures},
            loopback,
        },
        state::HttpState,
    },
    services::{
        bootstrap,
        tokens::{self, Creator},
    },
};

/// A caller that may use the scope `S`.
#[derive(Debug)]
pub struct Caller<S> {
    pub principal: Principal,
    scope: PhantomData<S>,
}

/// A type that stands for a scope.
pub trait RequiredScope {
    const SCOPE: Scope;
}

macro_rules! scopes {
    ($($scope:ident),* $(,)?) => {
        $(
            #[derive(Debug)]
            pub struct $scope;
            impl RequiredScope for $scope {
                const SCOPE: Scope = Scope::$scope;
            }
        )*
    };
}

scopes! { AgentsRead, AgentsWrite, RunsWrite, EventsRead, VaultRead, VaultWrite, TokensAdmin }

/// Who makes a token: one with `tokens:admin`, or whoever makes the very first.
#[derive(Debug)]
pub struct TokenCreator(pub Creator);

/// What a request presents, found out before anything else looks at it.
#[derive(Debug, Clone)]
pub enum Credential {
    Nothing,
    /// The one-time code of the bootstrap.
    Code,
    Token(Token),
    Refused(ApiError),
}

impl Credential {
    pub fn of(parts: &Parts) -> &Self {
        parts.extensions.get().unwrap_or(&Self::Nothing)
    }
}

/// Reads the credential of every request. What is presented counts, even where nothing is needed.
pub async fn read(
    State((state, failures)): State<(HttpState, Failures)>,
    mut request: Request,
    next: Next,
) -> Response {
    let credential = match presented(request.headers()) {
        Ok(None) => Ok(Credential::Nothing),
        Ok(Some(text)) => recognised(&state, &failures, request.extensions(), text).await,
        Err(answer) => Err(answer),
    };
    let credential = credential.unwrap_or_else(Credential::Refused);
    if let Credential::Token(token) = &credential {
        request.extensions_mut().insert(Bucket::Token(token.id.clone()));
    }
    request.extensions_mut().insert(credential);
    next.run(request).await
}

/// The text behind `Bearer` (RFC 6750).
fn presented(headers: &HeaderMap) -> Result<Option<&str>> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let (scheme, text) = value.to_str().ok().and_then(|value| value.split_once(' ')).unwrap_or_default();
    if values.next().is_some() || !scheme.eq_ignore_ascii_case("bearer") {
        return Err(unauthenticated("Present one token as `Authorization: Bearer mox_…`"));
    }
    Ok(Some(text.trim()))
}

async fn recognised(state: &HttpState, failures: &Failures, from: &Extensions, text: &str) -> Result<Credential> {
    if text.starts_with(bootstrap::PREFIX) {
        // Before it is looked at: there are few attempts at a code.
        failures.spend(from)?;
        return match state.app.access.accepts_bootstrap_code(text) {
            true => Ok(Credential::Code),
            false => Err(unauthenticated("The one-time code is not valid, or not any more")),
        };
    }
    let found = tokens::find(&state.app.access, text).await?;
    if let Some(token) = found {
        return Ok(Credential::Token(token));
    }
    state.app.access.count_refusal(Client::network_of(from)).await;
    failures.spend(from)?;
    let answer = unauthenticated("The token is not known here, or it has expired or was revoked");
    Err(answer.with(header::WWW_AUTHENTICATE, INVALID))
}

const INVALID: HeaderValue = HeaderValue::from_static("Bearer realm=\"moxxy\", error=\"invalid_token\"");

impl<S: RequiredScope> FromRequestParts<HttpState> for Caller<S> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self> {
        let principal = principal(parts, state).await?;
        allow(parts, state, &principal, S::SCOPE).await?;
        Ok(Self { principal, scope: PhantomData })
    }
}

/// Who calls: the token's holder, or a program that is trusted without one.
pub async fn principal(parts: &Parts, state: &HttpState) -> Result<Principal> {
    match Credential::of(parts) {
        Credential::Token(token) => return Ok(Principal::Token(token.clone())),
        Credential::Refused(answer) => return Err(answer.clone()),
        Credential::Code => return Err(unauthenticated("The one-time code makes the first token and nothing else")),
        Credential::Nothing => {}
    }
    if !state.config.server.loopback {
        return Err(unauthenticated("This takes a token: send `Authorization: Bearer mox_…`"));
    }
    match loopback::loopback_rejection(parts, state.config.server.listen.is_loopback()).await? {
        None => Ok(Principal::Local),
        Some(why) => Err(untrusted(why)),
    }
}

async fn allow(parts: &Parts, state: &HttpState, principal: &Principal, scope: Scope) -> Result<()> {
    if !principal.may(scope) {
        let Principal::Token(token) = principal else { return Err(unauthenticated("This takes a token")) };
        if Failures::of(parts).is_none_or(|failures| failures.may_tell(&token.id)) {
            let source = Client::network_of(&parts.extensions);
            // A refusal stands, even if it cannot be written down.
            if let Err(error) = tokens::tell_denied(&state.app.access, token.id.clone(), scope, source).await {
                tracing::error!(?error, "a refused token could not be told of");
            }
        }
        return Err(insufficient(scope, token));
    }
    let local = matches!(principal, Principal::Local);
    if local && scope == Scope::TokensAdmin && tokens::any(&state.app.access).await? {
        return Err(unauthenticated("There are tokens, so this takes one with `tokens:admin`, on this machine too"));
    }
    Ok(())
}

impl FromRequestParts<HttpState> for TokenCreator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self> {
        match Credential::of(parts) {
            Credential::Token(_) | Credential::Refused(_) => {
                let Caller { principal, .. } = Caller::<TokensAdmin>::from_request_parts(parts, state).await?;
                return Ok(Self(Creator::Principal(principal)));
            }
            Credential::Code => {}
            Credential::Nothing if !state.config.server.loopback => {
                return Err(unauthenticated(
                    "This takes a token with `tokens:admin`; the very first takes the one-time code that the server \
                     printed at its start: send `Authorization: Bearer boot_…`",
                ));
            }
            Credential::Nothing => {
                if let Some(why) = loopback::loopback_rejection(parts, state.config.server.listen.is_loopback()).await?
                {
                    return Err(untrusted(why));
                }
            }
        }
        // Looked at again in the transaction that makes it.
        if tokens::any(&state.app.access).await? {
            return Err(tokens::not_the_first().into());
        }
        Ok(Self(Creator::Bootstrap))
    }
}

fn untrusted(why: &str) -> ApiError {
    tracing::debug!(why, "a request without a token was refused");
    let message = format!(
        "This takes a token: without one, only programs of the server's own user on this machine are answered, and {why}"
    );
    unauthenticated(&message)
}

fn unauthenticated(message: &str) -> ApiError {
    Error::Unauthenticated(Problem::new("unauthenticated", message)).into()
}

fn insufficient(scope: Scope, token: &Token) -> ApiError {
    let name = scope.name();
    let has: Vec<_> = token.scopes.iter().map(|scope| format!("`{}`", scope.name())).collect();
    let answer = ApiError::new(
        StatusCode::FORBIDDEN,
        "insufficient_scope",
        format!("This takes a token with the scope `{name}`, which this one lacks; it has {}", has.join(", ")),
    );
    let challenge = format!("Bearer realm=\"moxxy\", error=\"insufficient_scope\", scope=\"{name}\"");
    match HeaderValue::from_str(&challenge) {
        Ok(challenge) => answer.with(header::WWW_AUTHENTICATE, challenge),
        Err(_) => answer,
    }
}
