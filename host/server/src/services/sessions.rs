//! Sessions: an agent's conversations. Their histories never mix.

use moxxy_store::{self as store, Db, events};
use moxxy_types::{
    agents::AgentKey,
    error::{Error, Result},
    events::{Event, EventContext},
    ids::{Name, SessionId},
    tokens::Principal,
};

use crate::{app::App, services::runs};

/// The conversation of runs that name none.
pub fn default() -> Name {
    Name::stored("default".into())
}

/// Finds a session by its id, or the open one of a conversation by its name. `None` when the
/// default conversation has not begun; another one is there only once it has.
pub async fn find(db: &mut Db, agent: AgentKey, wanted: Option<String>) -> Result<Option<SessionId>> {
    let name = match wanted.map(session_id) {
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
    runs::stop_all(app, &principal, &agent, moxxy_types::runs::Stop::Now).await?;
    app.store
        .write(move |tx| {
            Box::pin(async move {
                let key = store::agents::get(tx, &agent).await?.key;
                store::sessions::close(tx, key, &default()).await?;
                let session_id = store::sessions::open(tx, key, &default()).await?;
                let reset = Event::AgentReset { session_id: session_id.clone() };
                events::record(tx, &EventContext::agent(&agent).by(principal.name()), reset).await?;
                Ok(session_id)
            })
        })
        .await
}

/// The id that a text is, or the text back.
fn session_id(text: String) -> Result<SessionId, String> {
    SessionId::try_from(text.clone()).map_err(|_| text)
}
