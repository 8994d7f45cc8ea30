//! `/v1/events/stream`: the log as server-sent events.

use std::{convert::Infallible, sync::Arc, time::Duration};

use aide::{
    OperationOutput,
    generate::GenContext,
    openapi::{Operation, Response as Described, StatusCode},
};
use axum::{
    extract::State,
    http::HeaderName,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::{Stream, StreamExt as _, stream};
use moxxy_store::{self as store, Db, events::Subscription};
use moxxy_types::{
    error::{self, Error},
    events::{Filter, LoggedEvent},
    ids::{Name, RunId},
    tokens::Principal,
};
use schemars::{JsonSchema, json_schema};
use serde::Deserialize;
use tokio::time::timeout;

use crate::{
    app::App,
    http::api::{
        answer::Result,
        auth::{Caller, EventsRead},
        extract::Query,
        prefer::LastEvent,
        reply,
    },
    services::tokens,
};

pub const HEARTBEAT: Duration = Duration::from_secs(15);
const RETRY: Duration = Duration::from_secs(1);
pub const UNBUFFERED: [(HeaderName, &str); 1] = [(HeaderName::from_static("x-accel-buffering"), "no")];

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// Only events of these agents.
    #[serde(default)]
    agent_id: Vec<Name>,
    /// Only events of these runs.
    #[serde(default)]
    run_id: Vec<RunId>,
    /// Only events of these types, such as `run.completed`; `run.*` stands for all that begin so.
    #[serde(default)]
    event_type: Vec<String>,
    /// Begins behind the event with this `id`; 0 begins with the first.
    after: Option<i64>,
}

impl Selection {
    fn filter(&self) -> Filter {
        Filter {
            agents: self.agent_id.iter().map(ToString::to_string).collect(),
            runs: self.run_id.iter().map(ToString::to_string).collect(),
            types: self.event_type.clone(),
        }
    }

    /// Refuses what no event can match.
    async fn check(&self, db: &mut Db, filter: &Filter) -> Result<()> {
        known_types(filter)?;
        for agent in &self.agent_id {
            if !store::events::knows_agent(db, agent).await? {
                return Err(Error::not_found("agent", agent).into());
            }
        }
        for run in &self.run_id {
            store::runs::get(db, run).await?;
        }
        Ok(())
    }
}

/// Refuses a type that no event is of.
pub fn known_types(filter: &Filter) -> error::Result<()> {
    let Some(unknown) = filter.unknown_type() else { return Ok(()) };
    let reason =
        format!("no event is of the type {unknown:?}; there are: {}", moxxy_types::events::Event::TYPES.join(", "));
    Err(Error::invalid_field("event_type", reason))
}

/// Server-sent events.
pub struct Events(Response);

/// Streams events until the client leaves, the server stops, or the client's token is not valid any
/// more. The `id` of an event is its position in the log; `Last-Event-ID` or `after` goes on behind
/// one. Where events behind it were removed after their time, `stream.gap` comes first and says which.
pub async fn stream(
    State(app): State<App>,
    caller: Caller<EventsRead>,
    LastEvent(last_seen): LastEvent,
    Query(selection): Query<Selection>,
) -> Result<Events> {
    let after = last_seen.or(selection.after);
    let filter = selection.filter();
    let mut db = app.store.read().await?;
    selection.check(&mut db, &filter).await?;
    let last = store::events::last_position(&mut db).await?;
    drop(db);
    if after.is_some_and(|after| !(0..=last).contains(&after)) {
        return Err(Error::invalid_field("after", format!("it is 0 to {last}, where the log ends now")).into());
    }
    let full = |_| Error::unavailable("busy", "There are as many event streams as may be; try again later");
    let place = Arc::clone(&app.streams).try_acquire_owned().map_err(full)?;
    let subscription = Subscription::new(&app.events, &app.store, filter, after).await?;
    let allowed = while_allowed(app.clone(), caller.principal);
    let events = until_shutdown(app, subscription).take_until(allowed).map(move |event| {
        let _place = &place;
        event
    });
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("keep-alive"));
    Ok(Events((UNBUFFERED, events).into_response()))
}

/// Ends when the caller's token does.
async fn while_allowed(app: App, principal: Principal) {
    let Principal::Token(token) = principal else { return std::future::pending().await };
    let mut revoked = app.revoked.subscribe();
    while tokens::still_valid(&app, &token.id).await.unwrap_or(false) {
        // It may expire, too.
        drop(timeout(HEARTBEAT, revoked.changed()).await);
    }
}

fn until_shutdown(app: App, subscription: Subscription) -> impl Stream<Item = Result<Event, Infallible>> {
    let hello = stream::iter([Ok(Event::default().retry(RETRY).comment("events"))]);
    let events = stream::unfold((app, subscription), |(app, mut subscription)| async move {
        let next = tokio::select! {
            next = subscription.next() => next,
            () = app.tasks.shutdown().cancelled() => return None,
        };
        let next = next.inspect_err(|error| tracing::error!(?error, "a stream of events broke")).ok()??;
        Some((Ok(sent(&next)?), (app, subscription)))
    });
    hello.chain(events)
}

fn sent(event: &LoggedEvent) -> Option<Event> {
    let sent = Event::default().event(&event.envelope.event_type).json_data(&event.envelope).ok()?;
    Some(match event.position {
        Some(position) => sent.id(position.to_string()),
        None => sent,
    })
}

impl IntoResponse for Events {
    fn into_response(self) -> Response {
        self.0
    }
}

impl OperationOutput for Events {
    type Inner = ();
    fn inferred_responses(_: &mut GenContext, _: &mut Operation) -> Vec<(Option<StatusCode>, Described)> {
        let schema = json_schema!({ "type": "string" });
        let example = "event: run.started\ndata: {\"event_type\":\"run.started\"}\nid: 7\n\n".into();
        vec![(
            Some(StatusCode::Code(200)),
            reply::typed("text/event-stream", schema, example, "Events, as they come.", &[]),
        )]
    }
}
