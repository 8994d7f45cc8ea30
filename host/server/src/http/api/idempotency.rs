//! `Idempotency-Key`: a POST that is repeated with its key is not executed again. Keys are valid for 24 hours, each for
//! one caller and one URL.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use moxxy_system::{in_flight::InFlightGuard, tasks};
use moxxy_types::{
    error::Error,
    idempotency::{Claim, Earlier, Key},
};

use crate::{
    http::state::HttpState,
    http::{
        api::{
            answer::{ApiError, Result},
            auth, body, middleware,
        },
        net::connections::ConnectionSlot,
    },
    services::idempotency::{IdempotencyKeys, Outcome},
};

pub(crate) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Maximum length of a key, in characters.
const MAX_KEY_CHARACTERS: usize = 255;
/// Response headers that are stored with the body.
const STORED_HEADERS: [HeaderName; 3] = [header::CONTENT_TYPE, header::LOCATION, header::ETAG];
/// Header of responses to requests that were executed before.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
pub(crate) const TRUE: HeaderValue = HeaderValue::from_static("true");

/// Id of the created resource, on a response that shows a secret and must not be stored.
#[derive(Debug, Clone)]
pub(crate) struct Secret(pub String);

/// Executes a request once, and replays its response to later requests with the same key.
pub(crate) async fn execute_once(
    Extension(state): Extension<HttpState>,
    request: Request,
    next: Next,
) -> Result<Response> {
    let (request, claim) = read_claim(&state, request).await?;
    let Some(claim) = claim else { return Ok(next.run(request).await) };
    let open = match state.app.access.idempotency.begin(&claim).await? {
        Ok(open) => open,
        Err(earlier) => return replay(earlier),
    };
    let keys = state.app.access.idempotency.clone();
    // Detached, so that a repeated request gets the response even if this client disconnects.
    let carried_out = state.app.background.tasks().run_detached("request", async move {
        // A panic is a response too, and must not leave the key claimed.
        let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        let response = response.unwrap_or_else(middleware::panicked);
        finish(&keys, claim, open, response).await
    });
    Ok(carried_out.await?)
}

/// Leaves the key to the handler, which stores it together with the resource that it creates.
pub(crate) async fn delegate_key(
    Extension(state): Extension<HttpState>,
    request: Request,
    next: Next,
) -> Result<Response> {
    let (mut request, claim) = read_claim(&state, request).await?;
    if let Some(claim) = claim {
        request.extensions_mut().insert(claim);
    }
    Ok(next.run(request).await)
}

/// Returns the request, and its claim if it has a key. The body has then been read to its end.
async fn read_claim(state: &HttpState, request: Request) -> Result<(Request, Option<Claim>)> {
    let Some(key) = request.headers().get(&KEY) else { return Ok((request, None)) };
    let key = key.to_str().unwrap_or_default().to_owned();
    if !(1..=MAX_KEY_CHARACTERS).contains(&key.len()) {
        return Err(Error::invalid_parameter(
            "Idempotency-Key",
            format!("it has 1 to {MAX_KEY_CHARACTERS} visible characters"),
        )
        .into());
    }
    let (mut parts, sent) = request.into_parts();
    // The handler rejects callers without authentication.
    let Ok(principal) = auth::principal(&parts, state).await else {
        return Ok((Request::from_parts(parts, sent), None));
    };
    let bytes = body::read(&parts, sent, state).await?;
    // The request continues even if its connection ends, so it must not hold the slot of the connection.
    parts.extensions.remove::<Arc<ConnectionSlot>>();
    let route = format!("{} {}", parts.method, parts.uri.path_and_query().map_or("", |address| address.as_str()));
    let key = Key { caller: principal.name().to_owned(), route, text: key };
    let (keys, whole) = (state.app.access.idempotency.clone(), bytes.clone());
    let claim = tasks::run_sized(bytes.len(), move || keys.claim(key, &whole)).await?;
    Ok((Request::from_parts(parts, Body::from(bytes)), Some(claim)))
}

/// Stores the response of a request that was executed, and releases the key of one that was not.
async fn finish(
    keys: &IdempotencyKeys,
    claim: Claim,
    open: InFlightGuard<Key>,
    response: Response,
) -> moxxy_types::error::Result<Response> {
    let status = response.status();
    let secret = response.extensions().get::<Secret>().cloned();
    let failed = response.extensions().get::<ApiError>().cloned();
    let (parts, body) = response.into_parts();
    let body: Bytes = axum::body::to_bytes(body, usize::MAX).await.map_err(Error::internal)?;
    let outcome = if !status.is_success() && status != StatusCode::INTERNAL_SERVER_ERROR {
        Outcome::Released
    } else if let Some(Secret(id)) = secret {
        Outcome::Secret(id)
    } else {
        let headers = STORED_HEADERS
            .iter()
            .filter_map(|name| Some((name.to_string(), parts.headers.get(name)?.to_str().ok()?.to_owned())));
        let body = match failed {
            // The component or the server failed after execution had started.
            Some(answer) if !status.is_success() => answer.to_stored(),
            _ => body.to_vec(),
        };
        Outcome::Response { status: status.as_u16(), headers: headers.collect(), body }
    };
    keys.finish(claim.key, outcome, open).await;
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn replay(earlier: Earlier) -> Result<Response> {
    let (status, headers, body) = match earlier {
        Earlier::Answered { status, headers, body } => (status, headers, body),
        other => return Err(Error::from(other).into()),
    };
    let status = StatusCode::from_u16(status).map_err(Error::internal)?;
    let mut response = match status.is_success() {
        true => (status, body).into_response(),
        false => ApiError::from_stored(status, &body)?.into_response(),
    };
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, TRUE);
    Ok(response)
}
