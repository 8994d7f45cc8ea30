//! Sessions: an agent's conversations. Their histories never mix.

use schemars::JsonSchema;
use serde::Serialize;

use super::{runs, tokens::Principal};
use crate::{
    app::App,
    events::{self, Event, Subject},
    store::{self, AgentKey, Db},
    types::{
        error::{Error, Result},
        ids::{Name, SessionId},
    },
};

/// One conversation of an agent, from its beginning or a reset to the next.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Session {
    /// The session's id.
    #[serde(rename = "session_id")]
    pub id: SessionId,
    /// The conversation: `default`, or the name that its runs gave.
    pub name: Name,
    /// When it began (RFC 3339, UTC).
    pub created_at: String,
    /// When a reset replaced it; its history stays.
    pub closed_at: Option<String>,
}

/// The conversation of runs that name none.
pub fn default() -> Name {
    Name::stored("default".into())
}

/// Finds a session by its id, or the open one of a conversation by its name. `None` when the
/// default conversation has not begun; another one is there only once it has.
pub async fn find(db: &mut Db, agent: AgentKey, wanted: Option<String>) -> Result<Option<SessionId>> {
    let name = match wanted.map(SessionId::try_from_text) {
        None => default(),
        Some(Ok(id)) => return store::sessions::get(db, agent, &id).await.map(|session| Some(session.id)),
        Some(Err(name)) => Name::try_from(name)?,
    };
    match store::sessions::current(db, agent, &name).await? {
        None if name != default() => Err(Error::not_found("session", name)),
        session => Ok(session),
    }
}

/// Stops the agent's runs and begins its default conversation anew.
pub async fn reset(app: &App, principal: Principal, agent: Name) -> Result<SessionId> {
    runs::stop_all(app, &principal, &agent, runs::Stop::Now).await?;
    app.store
        .write(move |tx| {
            Box::pin(async move {
                let key = store::agents::get(tx, &agent).await?.key;
                store::sessions::close(tx, key, &default()).await?;
                let session_id = store::sessions::open(tx, key, &default()).await?;
                let reset = Event::AgentReset { session_id: session_id.clone() };
                events::record(tx, &Subject::agent(&agent).by(principal.name()), reset).await?;
                Ok(session_id)
            })
        })
        .await
}

impl SessionId {
    /// The id that a text is, or the text back.
    fn try_from_text(text: String) -> Result<Self, String> {
        Self::try_from(text.clone()).map_err(|_| text)
    }
}
