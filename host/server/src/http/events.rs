//! `/v1/events/stream`: the log as server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::HeaderName,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::{Stream, StreamExt as _, stream};
use moxxy_types::{
    error::Error,
    events::LoggedEvent,
    ids::{Name, RunId},
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    http::api::{
        answer::Result,
        auth::{Caller, EventsRead},
        extract::Query,
        prefer::LastEvent,
    },
    services::{self, events::Subscription, tokens},
};

const HEARTBEAT: Duration = Duration::from_secs(15);
const RETRY: Duration = Duration::from_secs(1);
const UNBUFFERED: [(HeaderName, &str); 1] = [(HeaderName::from_static("x-accel-buffering"), "no")];

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Selection {
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

/// Server-sent events.
pub(super) struct Events(Response);

/// Streams events until the client disconnects, the server stops, or the client's token becomes invalid. The `id` of an
/// event is its position in the log; `Last-Event-ID` or `after` resumes after a position. If events after that position
/// have expired and were removed, `stream.gap` is sent first and names their positions.
pub(super) async fn stream(
    State(app): State<App>,
    caller: Caller<EventsRead>,
    LastEvent(last_seen): LastEvent,
    Query(selection): Query<Selection>,
) -> Result<Events> {
    let Selection { agent_id: agents, run_id: runs, event_type: types, after } = selection;
    let selection = services::events::Selection { agents, runs, types };
    let full = || Error::unavailable("busy", "There are as many event streams as may be; try again later");
    let place = app.events.try_stream(&caller.principal).ok_or_else(full)?;
    let subscription = app.events.subscribe(selection, last_seen.or(after)).await?;
    let access = app.access.clone();
    let allowed = async move { tokens::until_invalid(&access, &caller.principal).await };
    let shutdown = app.background.tasks().shutdown().clone();
    let events = until_shutdown(shutdown, subscription).take_until(allowed).map(move |event| {
        let _place = &place;
        event
    });
    Ok(Events(server_sent(events)))
}

/// Returns a response of server-sent events, with heartbeats.
pub(super) fn server_sent(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("keep-alive"));
    (UNBUFFERED, events).into_response()
}

fn until_shutdown(
    shutdown: CancellationToken,
    subscription: Subscription,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let hello = stream::iter([Ok(Event::default().retry(RETRY).comment("events"))]);
    let events = stream::unfold((shutdown, subscription), |(shutdown, mut subscription)| async move {
        let next = shutdown.run_until_cancelled(subscription.next()).await?;
        let next = next.inspect_err(|error| tracing::error!(?error, "an event stream failed")).ok()??;
        Some((Ok(sse_event(&next)?), (shutdown, subscription)))
    });
    hello.chain(events)
}

fn sse_event(event: &LoggedEvent) -> Option<Event> {
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
