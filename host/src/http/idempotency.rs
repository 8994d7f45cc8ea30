//! `Idempotency-Key`: a POST that is sent again with its key is not carried out again. Keys hold for
//! 24 hours, each for one caller and one address.

use std::panic::AssertUnwindSafe;

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use hmac::Mac as _;

use super::{
    answer::{Answer, Result},
    auth, extract, middleware,
};
use crate::{
    app::App,
    domain::idempotency::{Claim, Earlier},
    error::Error,
    store,
};

pub const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const LONGEST: usize = 255;
/// What is kept of an answer, beside its body.
const KEPT: [HeaderName; 3] = [header::CONTENT_TYPE, header::LOCATION, header::ETAG];
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What an answer has made, if it shows a secret and must not be kept.
#[derive(Debug, Clone)]
pub struct Secret(pub String);

/// Carries a request out once, and answers later ones with its answer.
pub async fn once(Extension(app): Extension<App>, request: Request, next: Next) -> Result<Response> {
    let (request, claim) = claimed(&app, request).await?;
    let Some(claim) = claim else { return Ok(next.run(request).await) };
    let wanted = claim.clone();
    let earlier = app.store.write(move |tx| Box::pin(async move { store::idempotency::claim(tx, &wanted).await }));
    if let Some(earlier) = earlier.await? {
        return replay(earlier);
    }
    let worker = app.clone();
    // What has begun is told of to whoever asks again, even if this client leaves.
    let carried_out = app.tasks.carry_out("request", async move {
        // A panic is an answer too, and must not leave the key taken.
        let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        let response = response.unwrap_or_else(middleware::panicked);
        keep(&worker, claim, response).await
    });
    Ok(carried_out.await?)
}

/// Leaves the key to the handler, which writes it with what it makes.
pub async fn left_to_handler(Extension(app): Extension<App>, request: Request, next: Next) -> Result<Response> {
    let (mut request, claim) = claimed(&app, request).await?;
    if let Some(claim) = claim {
        request.extensions_mut().insert(claim);
    }
    Ok(next.run(request).await)
}

/// The request, whole, and the claim that it makes, if it brings a key.
async fn claimed(app: &App, request: Request) -> Result<(Request, Option<Claim>)> {
    let Some(key) = request.headers().get(&KEY) else { return Ok((request, None)) };
    let key = key.to_str().unwrap_or_default().to_owned();
    if !(1..=LONGEST).contains(&key.len()) {
        return Err(Error::invalid_field("Idempotency-Key", format!("it has 1 to {LONGEST} visible characters")).into());
    }
    let (parts, body) = request.into_parts();
    // Whoever may not call is told so by the handler.
    let Ok(principal) = auth::principal(&parts, app).await else {
        return Ok((Request::from_parts(parts, body), None));
    };
    let bytes = extract::body(&parts, body, app).await?;
    let mut mac = app.idempotency.start();
    mac.update(&bytes);
    let route = format!("{} {}", parts.method, parts.uri.path_and_query().map_or("", |address| address.as_str()));
    let claim = Claim { caller: principal.name().to_owned(), route, key, mac: mac.finalize().into_bytes().into() };
    Ok((Request::from_parts(parts, Body::from(bytes)), Some(claim)))
}

/// Keeps the answer of what was carried out, and gives the key free where nothing was.
async fn keep(app: &App, claim: Claim, response: Response) -> crate::error::Result<Response> {
    let status = response.status();
    let secret = response.extensions().get::<Secret>().cloned();
    let failed = response.extensions().get::<Answer>().cloned();
    let (parts, body) = response.into_parts();
    let body: Bytes = axum::body::to_bytes(body, usize::MAX).await.map_err(Error::internal)?;
    let headers =
        KEPT.iter().filter_map(|name| Some((name.to_string(), parts.headers.get(name)?.to_str().ok()?.into())));
    let headers: Vec<(String, String)> = headers.collect();
    let kept = match failed {
        // As the component or the server failed after it had begun.
        Some(answer) if status == StatusCode::INTERNAL_SERVER_ERROR => answer.keep(),
        _ => body.to_vec(),
    };
    app.store
        .write(move |tx| {
            Box::pin(async move {
                match secret {
                    Some(Secret(id)) => store::idempotency::made(tx, &claim, &id).await,
                    None if status.is_success() || status == StatusCode::INTERNAL_SERVER_ERROR => {
                        store::idempotency::answer(tx, &claim, status.as_u16(), &headers, &kept).await
                    }
                    None => store::idempotency::release(tx, &claim).await,
                }
            })
        })
        .await?;
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
        false => Answer::kept(status, &body)?.into_response(),
    };
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}
