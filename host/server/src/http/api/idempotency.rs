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
use moxxy_store::{self as store, Tx, idempotency::Outcome};
use moxxy_system::{
    in_flight::InFlightGuard,
    tasks::{self, Policy},
};
use moxxy_types::{
    error::Error,
    idempotency::{Claim, Earlier, Key},
};

use crate::{
    app::App,
    http::{
        api::{
            answer::{ApiError, Result},
            auth, body, middleware,
        },
        net::connections::ConnectionSlot,
    },
    services::idempotency,
};

pub const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const LONGEST: usize = 255;
/// What is kept of an answer, beside its body.
const KEPT: [HeaderName; 3] = [header::CONTENT_TYPE, header::LOCATION, header::ETAG];
/// The largest answer that is kept, in bytes.
const LARGEST: usize = 256 * 1024;
/// On answers of requests that were carried out before.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
pub const TRUE: HeaderValue = HeaderValue::from_static("true");

/// What an answer has made, if it shows a secret and must not be kept.
#[derive(Debug, Clone)]
pub struct Secret(pub String);

/// Carries a request out once, and answers later ones with its answer.
pub async fn once(Extension(app): Extension<App>, request: Request, next: Next) -> Result<Response> {
    let (request, claim) = claimed(&app, request).await?;
    let Some(claim) = claim else { return Ok(next.run(request).await) };
    let open = match idempotency::take(&app, &claim).await? {
        Ok(open) => open,
        Err(earlier) => return replay(earlier),
    };
    let worker = app.clone();
    // What has begun is told of to whoever asks again, even if this client leaves.
    let carried_out = app.tasks.run_detached("request", async move {
        // A panic is an answer too, and must not leave the key taken.
        let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        let response = response.unwrap_or_else(middleware::panicked);
        keep(&worker, claim, open, response).await
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
    let (mut parts, sent) = request.into_parts();
    // Whoever may not call is told so by the handler.
    let Ok(principal) = auth::principal(&parts, app).await else {
        return Ok((Request::from_parts(parts, sent), None));
    };
    let bytes = body::read(&parts, sent, app).await?;
    // What has begun goes on, even if its connection ends.
    parts.extensions.remove::<Arc<ConnectionSlot>>();
    let route = format!("{} {}", parts.method, parts.uri.path_and_query().map_or("", |address| address.as_str()));
    let key = Key { caller: principal.name().to_owned(), route, text: key };
    let (worker, whole) = (app.clone(), bytes.clone());
    let claim = tasks::heavy(bytes.len(), move || idempotency::claim(&worker, key, &whole)).await?;
    Ok((Request::from_parts(parts, Body::from(bytes)), Some(claim)))
}

/// Keeps the answer of what was carried out, and gives the key free where nothing was. If that fails,
/// it was carried out all the same, and later requests are told that nobody knows.
async fn keep(
    app: &App,
    claim: Claim,
    open: InFlightGuard<Key>,
    response: Response,
) -> moxxy_types::error::Result<Response> {
    let status = response.status();
    let secret = response.extensions().get::<Secret>().cloned();
    let failed = response.extensions().get::<ApiError>().cloned();
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
    let done = status.is_success() || status == StatusCode::INTERNAL_SERVER_ERROR;
    let note = Note { key: claim.key, done, status: status.as_u16(), headers, body: kept, secret };
    let first = note.clone();
    match app.store.write(move |tx| Box::pin(first.write(tx))).await {
        // The key stays taken until there is room to write what became of it.
        Err(error) if error.is_storage_error() => {
            let store = app.store.clone();
            app.tasks.spawn("idempotency", Policy::Job, async move {
                tell(store.persist(move |tx| Box::pin(note.write(tx))).await);
                drop(open);
            });
        }
        written => tell(written),
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn tell(written: moxxy_types::error::Result<()>) {
    if let Err(error) = written {
        tracing::error!(?error, "the answer to a request with an Idempotency-Key could not be kept");
    }
}

/// What became of a request.
#[derive(Clone)]
struct Note {
    key: Key,
    /// Whether anything was carried out.
    done: bool,
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    secret: Option<Secret>,
}

impl Note {
    async fn write(self, tx: &mut Tx) -> moxxy_types::error::Result<()> {
        if !self.done {
            return store::idempotency::release(tx, &self.key).await;
        }
        let outcome = match &self.secret {
            Some(Secret(id)) => Outcome::Made(id),
            None if self.body.len() > LARGEST => Outcome::Made(&self.key.route),
            None => Outcome::Answer { status: self.status, headers: &self.headers, body: &self.body },
        };
        store::idempotency::note(tx, &self.key, outcome).await
    }
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
