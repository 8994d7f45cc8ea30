//! `/v1/events/stream`: the log as server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName},
    response::{
        IntoResponse, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::{Stream, stream};
use serde::Deserialize;

use super::{
    answer::Result,
    auth::{Caller, EventsRead},
    extract::Query,
};
use crate::{
    app::App,
    error::Error,
    events::{Filter, Recorded, Subscription},
    store,
};

const HEARTBEAT: Duration = Duration::from_secs(15);
const RETRY: Duration = Duration::from_secs(1);
const UNBUFFERED: [(HeaderName, &str); 1] = [(HeaderName::from_static("x-accel-buffering"), "no")];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    #[serde(default)]
    agent_id: Vec<String>,
    #[serde(default)]
    run_id: Vec<String>,
    #[serde(default)]
    event_type: Vec<String>,
    after: Option<i64>,
}

/// Streams events until the client leaves or the server stops. The `id` of an event is its
/// position in the log; `Last-Event-ID` or `after` goes on behind one.
pub async fn stream(
    State(app): State<App>,
    _: Caller<EventsRead>,
    headers: HeaderMap,
    Query(selection): Query<Selection>,
) -> Result<impl IntoResponse> {
    let after = match headers.get("last-event-id") {
        Some(id) => Some(id.to_str().ok().and_then(|id| id.parse().ok()).ok_or_else(bad_id)?),
        None => selection.after,
    };
    let last = store::events::last_position(&mut *app.store.read().await?).await?;
    if after.is_some_and(|after| !(0..=last).contains(&after)) {
        return Err(Error::invalid_field("after", format!("it is 0 to {last}, where the log ends now")).into());
    }
    let filter = Filter { agents: selection.agent_id, runs: selection.run_id, types: selection.event_type };
    let subscription = Subscription::new(&app.events, &app.store, filter, after).await?;
    let events = Sse::new(until_shutdown(app, subscription));
    Ok((UNBUFFERED, events.keep_alive(KeepAlive::new().interval(HEARTBEAT).text("keep-alive"))))
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
    stream::StreamExt::chain(hello, events)
}

fn sent(event: &Recorded) -> Option<Event> {
    let sent = Event::default().event(&event.envelope.event_type).json_data(&event.envelope).ok()?;
    Some(match event.position {
        Some(position) => sent.id(position.to_string()),
        None => sent,
    })
}

fn bad_id() -> Error {
    Error::invalid_field("Last-Event-ID", "it is the id of an event of this stream: a number")
}
