//! API tokens and their scopes. A token is `mox_` and 32 random bytes in base64url (RFC 4648). Only its SHA-256 hash
//! is stored, so it is shown once.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::services::{access::Access, bootstrap};
use moxxy_store::{self as store, Tx, events};
use moxxy_system::tasks::Policy;
use moxxy_types::{
    clock, digest,
    error::{Error, InvalidFields, Problem, Result},
    events::{Event, EventContext, RejectionCount},
    ids::{self, TokenId},
    paging::{Page, PageRequest},
    tokens::{Principal, Scope, Scopes, Token},
};
use std::time::Duration;
use tokio::time::timeout;

pub const PREFIX: &str = "mox_";
/// Maximum length of a description, in bytes.
const MAX_DESCRIPTION_BYTES: usize = 1024;
/// Maximum lifetime of a token, in seconds: ten years.
const MAX_LIFETIME_SECONDS: i64 = 315_360_000;
/// Resolution of a token's last use, in seconds.
const LAST_USE_RESOLUTION_SECONDS: i64 = 60;

/// Interval between checks whether the token of an open stream has expired.
const EXPIRY_CHECK_INTERVAL: Duration = Duration::from_secs(15);

/// Creator of a token.
#[derive(Debug, Clone)]
pub enum Creator {
    Principal(Principal),
    /// The first token needs no principal.
    Bootstrap,
    /// A command with write access to the data directory.
    Offline,
}

/// A token to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it may be used for: at most what its maker may.
    pub scopes: Scopes,
    /// What it is for, at most 1024 bytes.
    pub description: Option<String>,
    /// From now; at most ten years. Absent: it does not expire.
    #[schemars(range(min = 1, max = 315_360_000))]
    pub expires_in_seconds: Option<i64>,
}

/// A new token, with its text.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NewlyMadeToken")]
pub struct Issued {
    /// The token's id, by which it is revoked.
    pub id: TokenId,
    /// The token itself, which is shown this once.
    pub token: String,
    /// What it may be used for.
    pub scopes: Scopes,
    /// What it is for.
    pub description: Option<String>,
    /// When it was made (RFC 3339, UTC).
    pub created_at: String,
    /// When it ceases to be valid; `null`: never.
    pub expires_at: Option<String>,
}

/// Creates a token. A bootstrap token must be the first one, which the transaction that writes it checks.
pub async fn create(access: &Access, creator: Creator, new: NewToken) -> Result<Issued> {
    let new = checked(new)?;
    access.store.write(move |tx| Box::pin(insert(tx, creator, new))).await
}

/// Returns a page of tokens, oldest first.
pub async fn list(access: &Access, page: &PageRequest) -> Result<Page<Token>> {
    let tokens = store::tokens::list(&mut *access.store.read().await?, page).await?;
    Ok(page.cut(tokens, |token| token.id.to_string()))
}

/// Whether a text contains a token or a bootstrap code.
pub fn holds_token(text: &str) -> bool {
    // Length after the prefix: 32 bytes in base64url.
    const LENGTH: usize = 43;
    [PREFIX, bootstrap::PREFIX].iter().any(|prefix| {
        text.match_indices(prefix).any(|(at, _)| {
            let rest = text.bytes().skip(at + prefix.len());
            rest.take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')).count() >= LENGTH
        })
    })
}

/// Whether any token was created, valid or not.
pub async fn any(access: &Access) -> Result<bool> {
    store::tokens::any(&mut *access.store.read().await?).await
}

/// Returns the token with this text, if it is valid.
pub async fn find(access: &Access, text: &str) -> Result<Option<Token>> {
    let found = store::tokens::find(&mut *access.store.read().await?, &digest::sha256(text.as_bytes())).await?;
    let Some(token) = found.filter(|token| token.is_valid(access.store.clock())) else { return Ok(None) };
    record_use(access, &token);
    Ok(Some(token))
}

/// Records the use of a token in the background, at most once per minute.
fn record_use(access: &Access, token: &Token) {
    let now = access.store.clock().now();
    let known = token.last_used_at.as_deref().and_then(clock::parse);
    if known.is_some_and(|used| (now - used).whole_seconds() < LAST_USE_RESOLUTION_SECONDS) {
        return;
    }
    let Some(guard) = access.uses.try_begin(&token.id) else { return };
    let (access, id) = (access.clone(), token.id.clone());
    access.tasks.clone().spawn("token use", Policy::Job, async move {
        let written = access.store.write(move |tx| Box::pin(async move { store::tokens::record_use(tx, &id).await }));
        // A full disk must not block authentication.
        if let Err(error) = written.await {
            tracing::error!(?error, "failed to record the use of a token");
        }
        drop(guard);
    });
}

/// Waits until the principal's token is revoked or has expired; forever without a token.
pub async fn until_invalid(access: &Access, principal: &Principal) {
    let Principal::Token(token) = principal else { return std::future::pending().await };
    let mut revoked = access.revoked.subscribe();
    while is_valid(access, &token.id).await.unwrap_or(false) {
        // Expiry is not notified.
        drop(timeout(EXPIRY_CHECK_INTERVAL, revoked.changed()).await);
    }
}

async fn is_valid(access: &Access, id: &TokenId) -> Result<bool> {
    let token = store::tokens::get(&mut *access.store.read().await?, id).await?;
    Ok(token.is_valid(access.store.clock()))
}

/// Revokes a token. Later requests with it are rejected.
pub async fn revoke(access: &Access, principal: Principal, id: TokenId) -> Result<()> {
    access
        .store
        .write(move |tx| {
            Box::pin(async move {
                store::tokens::get(tx, &id).await?;
                if store::tokens::revoke(tx, &id).await? {
                    let revoked = Event::TokenRevoked { token_id: id, by: principal.name().to_owned() };
                    events::record(tx, &EventContext::default().by(principal.name()), revoked).await?;
                }
                Ok(())
            })
        })
        .await?;
    access.revoked.send_replace(());
    Ok(())
}

/// Records that a token lacks a scope.
pub async fn record_denial(access: &Access, token: TokenId, scope: Scope, source: IpNet) -> Result<()> {
    let subject = EventContext::default().by(token.as_str());
    let denied = Event::TokenDenied {
        token_id: Some(token),
        scope: Some(scope.name().into()),
        reason: "insufficient scope",
        count: 1,
        since: access.store.clock().timestamp(),
        sources: vec![RejectionCount { network: source.to_string(), count: 1 }],
        other_count: 0,
    };
    access.store.write(move |tx| Box::pin(async move { events::record(tx, &subject, denied).await })).await
}

/// Returns the error for a bootstrap after the first token was created.
pub fn not_the_first() -> Error {
    let message = "The first token has been made already: making another takes one with `tokens:admin`";
    Error::Unauthenticated(Problem::new("unauthenticated", message))
}

pub(super) fn checked(new: NewToken) -> Result<NewToken> {
    let mut wrong = InvalidFields::default();
    if new.scopes.is_empty() {
        wrong.push("scopes", "it names at least one scope");
    }
    if new.description.as_ref().is_some_and(|text| text.len() > MAX_DESCRIPTION_BYTES) {
        wrong.push("description", format!("it has at most {MAX_DESCRIPTION_BYTES} bytes"));
    }
    if new.expires_in_seconds.is_some_and(|seconds| !(1..=MAX_LIFETIME_SECONDS).contains(&seconds)) {
        wrong.push("expires_in_seconds", format!("it is 1 to {MAX_LIFETIME_SECONDS}"));
    }
    wrong.into_result().map(|()| new)
}

pub(super) async fn insert(tx: &mut Tx, creator: Creator, new: NewToken) -> Result<Issued> {
    let by = match creator {
        Creator::Offline => "offline".to_owned(),
        Creator::Bootstrap if store::tokens::any(tx).await? => return Err(not_the_first()),
        Creator::Bootstrap => "bootstrap".to_owned(),
        Creator::Principal(principal) => {
            if let Some(more) = new.scopes.iter().find(|scope| !principal.may(**scope)) {
                let message =
                    format!("A token cannot make one with more scopes than it has: it lacks `{}`", more.name());
                return Err(Error::Forbidden(Problem::new("insufficient_scope", message)));
            }
            principal.name().to_owned()
        }
    };
    let text = format!("{PREFIX}{}", BASE64URL.encode(ids::random::<32>()?));
    let token = Token {
        id: TokenId::random(),
        scopes: new.scopes,
        description: new.description,
        created_at: tx.now(),
        created_by: by.clone(),
        expires_at: new.expires_in_seconds.map(|seconds| tx.after(seconds)),
        last_used_at: None,
        revoked_at: None,
    };
    store::tokens::insert(tx, &token, &digest::sha256(text.as_bytes())).await?;
    let created = Event::TokenCreated {
        token_id: token.id.clone(),
        scopes: token.scopes.iter().map(|scope| scope.name().into()).collect(),
        by,
    };
    events::record(tx, &EventContext::default().by(&token.created_by), created).await?;
    let Token { id, scopes, description, created_at, expires_at, .. } = token;
    Ok(Issued { id, token: text, scopes, description, created_at, expires_at })
}
