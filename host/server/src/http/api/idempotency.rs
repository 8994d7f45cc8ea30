//! `Idempotency-Key`: a POST that is sent again with its key is not carried out again. Keys hold for
//! 24 hours, each for one caller and one address.

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

pub const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const LONGEST: usize = 255;
/// Headers of a response that are stored beside its body.
const STORED_HEADERS: [HeaderName; 3] = [header::CONTENT_TYPE, header::LOCATION, header::ETAG];
/// On answers of requests that were carried out before.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
pub const TRUE: HeaderValue = HeaderValue::from_static("true");

/// What an answer has made, if it shows a secret and must not be kept.
#[derive(Debug, Clone)]
pub struct Secret(pub String);

/// Carries a request out once, and answers later ones with its answer.
pub async fn once(Extension(state): Extension<HttpState>, request: Request, next: Next) -> Result<Response> {
    let (request, claim) = claimed(&state, request).await?;
    let Some(claim) = claim else { return Ok(next.run(request).await) };
    let open = match state.app.access.idempotency.take(&claim).await? {
        Ok(open) => open,
        Err(earlier) => return replay(earlier),
    };
    let keys = state.app.access.idempotency.clone();
    // What has begun is told of to whoever asks again, even if this client leaves.
    let carried_out = state.app.background.tasks().run_detached("request", async move {
        // A panic is an answer too, and must not leave the key taken.
        let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        let response = response.unwrap_or_else(middleware::panicked);
        finish(&keys, claim, open, response).await
    });
    Ok(carried_out.await?)
}

/// Leaves the key to the handler, which writes it with what it makes.
pub async fn left_to_handler(Extension(state): Extension<HttpState>, request: Request, next: Next) -> Result<Response> {
    let (mut request, claim) = claimed(&state, request).await?;
    if let Some(claim) = claim {
        request.extensions_mut().insert(claim);
    }
    Ok(next.run(request).await)
}

/// The request, whole, and the claim that it makes, if it brings a key.
async fn claimed(state: &HttpState, request: Request) -> Result<(Request, Option<Claim>)> {
    let Some(key) = request.headers().get(&KEY) else { return Ok((request, None)) };
    let key = key.to_str().unwrap_or_default().to_owned();
    if !(1..=LONGEST).contains(&key.len()) {
        return Err(Error::invalid_field("Idempotency-Key", format!("it has 1 to {LONGEST} visible characters")).into());
    }
    let (mut parts, sent) = request.into_parts();
    // Whoever may not call is told so by the handler.
    let Ok(principal) = auth::principal(&parts, state).await else {
        return Ok((Request::from_parts(parts, sent), None));
    };
    let bytes = body::read(&parts, sent, state).await?;
    // What has begun goes on, even if its connection ends.
    parts.extensions.remove::<Arc<ConnectionSlot>>();
    let route = format!("{} {}", parts.method, parts.uri.path_and_query().map_or("", |address| address.as_str()));
    let key = Key { caller: principal.name().to_owned(), route, text: key };
    let (keys, whole) = (state.app.access.idempotency.clone(), bytes.clone());
    let claim = tasks::run_sized(bytes.len(), move || keys.claim(key, &whole)).await?;
    Ok((Request::from_parts(parts, Body::from(bytes)), Some(claim)))
}

/// Stores the response of a request that was carried out, and frees the key of one that was not.
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
            // The component or the server failed after it had begun.
            Some(answer) if !status.is_success() => answer.keep(),
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
        false => ApiError::kept(status, &body)?.into_response(),
    };
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, TRUE);
    Ok(response)
}
