//! Authentication and authorization. Each handler names the scope that it requires in its signature.

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

/// Caller that has the scope `S`.
#[derive(Debug)]
pub(crate) struct Caller<S> {
    pub principal: Principal,
    scope: PhantomData<S>,
}

/// Type that represents a scope.
pub(crate) trait RequiredScope {
    const SCOPE: Scope;
}

macro_rules! scopes {
    ($($scope:ident),* $(,)?) => {
        $(
            #[derive(Debug)]
            pub(crate) struct $scope;
            impl RequiredScope for $scope {
                const SCOPE: Scope = Scope::$scope;
            }
        )*
    };
}

scopes! { AgentsRead, AgentsWrite, RunsWrite, EventsRead, VaultRead, VaultWrite, TokensAdmin }

/// Creator of a token: a principal with `tokens:admin`, or the bootstrap for the first token.
#[derive(Debug)]
pub(crate) struct TokenCreator(pub Creator);

/// Credential of a request, determined before the handler and the rate limits.
#[derive(Debug, Clone)]
pub(crate) enum Credential {
    Nothing,
    /// One-time code of the bootstrap.
    Code,
    Token(Token),
    Refused(ApiError),
}

impl Credential {
    pub(crate) fn from_parts(parts: &Parts) -> &Self {
        parts.extensions.get().unwrap_or(&Self::Nothing)
    }
}

/// Reads the credential of every request. A credential is checked even where none is required.
pub(crate) async fn read(
    State((state, failures)): State<(HttpState, Failures)>,
    mut request: Request,
    next: Next,
) -> Response {
    let credential = match bearer_token(request.headers()) {
        Ok(None) => Ok(Credential::Nothing),
        Ok(Some(text)) => authenticate(&state, &failures, request.extensions(), text).await,
        Err(answer) => Err(answer),
    };
    let credential = credential.unwrap_or_else(Credential::Refused);
    if let Credential::Token(token) = &credential {
        request.extensions_mut().insert(Bucket::Token(token.id.clone()));
    }
    request.extensions_mut().insert(credential);
    next.run(request).await
}

/// Returns the text after `Bearer` (RFC 6750).
fn bearer_token(headers: &HeaderMap) -> Result<Option<&str>> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let (scheme, text) = value.to_str().ok().and_then(|value| value.split_once(' ')).unwrap_or_default();
    if values.next().is_some() || !scheme.eq_ignore_ascii_case("bearer") {
        return Err(unauthenticated("Present one token as `Authorization: Bearer mox_…`"));
    }
    Ok(Some(text.trim()))
}

async fn authenticate(state: &HttpState, failures: &Failures, from: &Extensions, text: &str) -> Result<Credential> {
    if text.starts_with(bootstrap::PREFIX) {
        // Charged before the check, because attempts at a code are limited.
        failures.consume(from)?;
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
    failures.consume(from)?;
    let answer = unauthenticated("The token is not known here, or it has expired or was revoked");
    Err(answer.with(header::WWW_AUTHENTICATE, INVALID))
}

const INVALID: HeaderValue = HeaderValue::from_static("Bearer realm=\"moxxy\", error=\"invalid_token\"");

impl<S: RequiredScope> FromRequestParts<HttpState> for Caller<S> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self> {
        let principal = principal(parts, state).await?;
        authorize(parts, state, &principal, S::SCOPE).await?;
        Ok(Self { principal, scope: PhantomData })
    }
}

/// Returns the principal of a request: its token, or `local` for a program that is trusted without a token.
pub(crate) async fn principal(parts: &Parts, state: &HttpState) -> Result<Principal> {
    match Credential::from_parts(parts) {
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

async fn authorize(parts: &Parts, state: &HttpState, principal: &Principal, scope: Scope) -> Result<()> {
    if !principal.may(scope) {
        let Principal::Token(token) = principal else { return Err(unauthenticated("This takes a token")) };
        if Failures::from_parts(parts).is_none_or(|failures| failures.may_record(&token.id)) {
            let source = Client::network_of(&parts.extensions);
            // The request is denied even if the denial cannot be recorded.
            if let Err(error) = tokens::record_denial(&state.app.access, token.id.clone(), scope, source).await {
                tracing::error!(?error, "failed to record the denial of a token");
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
        match Credential::from_parts(parts) {
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
        // Checked again in the transaction that creates the token.
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
