//! `/v1/audit`.

use axum::extract::State;
use moxxy_types::{
    audit::{Entry, Filter, Head},
    ids::{Name, RunId},
};
use schemars::JsonSchema;
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    app::App,
    http::api::{
        answer::Result,
        auth::{Caller, EventsRead},
        extract::{Paging, Query},
        reply::{Body, Paginated},
    },
    services::{audit, events},
};

/// Which entries are wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Selection {
    /// Only about this agent, be it there still or not.
    agent_id: Option<Name>,
    /// Only of this run.
    run_id: Option<RunId>,
    /// Only of this type, such as `vault.accessed`, or of those that begin so, such as `vault.*`.
    event_type: Option<String>,
    /// Only what this one did: a token's id, `local`, `component:NAME`, ….
    actor: Option<String>,
    /// Only from this time on (RFC 3339).
    since: Option<String>,
    /// Only from before this time (RFC 3339).
    until: Option<String>,
    /// Those of the page.
    #[schemars(skip)]
    #[serde(rename = "limit")]
    _limit: Option<IgnoredAny>,
    #[schemars(skip)]
    #[serde(rename = "cursor")]
    _cursor: Option<IgnoredAny>,
}

impl Selection {
    fn filter(self) -> Result<Filter> {
        let types = moxxy_types::events::Filter {
            types: self.event_type.iter().cloned().collect(),
            ..moxxy_types::events::Filter::default()
        };
        events::check_types(&types)?;
        Ok(Filter {
            agent: self.agent_id.map(|agent| agent.to_string()),
            run: self.run_id.map(|run| run.to_string()),
            event_type: self.event_type,
            actor: self.actor,
            since: self.since.map(|time| audit::time("since", &time)).transpose()?,
            until: self.until.map(|time| audit::time("until", &time)).transpose()?,
        })
    }
}

/// Lists entries, newest first.
pub(super) async fn list(
    State(app): State<App>,
    _: Caller<EventsRead>,
    paging: Paging<true>,
    Query(selection): Query<Selection>,
) -> Result<Paginated<Entry>> {
    let filter = selection.filter()?;
    Ok(paging.show(audit::list(&app.access, &filter, &paging.page).await?))
}

pub(super) async fn head(State(app): State<App>, _: Caller<EventsRead>) -> Result<Body<Head>> {
    Ok(Body(audit::head(&app.access).await?))
}
