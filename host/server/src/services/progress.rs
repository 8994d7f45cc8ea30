//! Progress events of running calls, with a rate limit. A report that arrives too soon after the last event waits,
//! and only the newest waiting report is recorded.

use std::time::Duration;

use moxxy_runtime::Progress;
use moxxy_store::{self as store, events};
use moxxy_types::{
    agents::AgentKey,
    error::Result,
    events::{Event, EventContext},
    ids::{Name, StepId},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::services::components::Components;

/// Minimum time between two events.
const MIN_EVENT_INTERVAL: Duration = Duration::from_millis(100);

/// The call that reports progress.
pub struct ReportedCall {
    pub subject: EventContext,
    /// Key of the agent, which differs for a new agent of the same name.
    pub agent: AgentKey,
    pub skill: Name,
    pub step: Option<StepId>,
    pub stop: CancellationToken,
}

/// Records reports as events until the call has ended.
pub async fn record_reports(
    components: &Components,
    about: ReportedCall,
    mut reports: watch::Receiver<Option<Progress>>,
    ended: CancellationToken,
) {
    let mut next = Instant::now();
    while reports.changed().await.is_ok() {
        // The last report of a call does not wait.
        ended.run_until_cancelled(sleep_until(next)).await;
        let newest = reports.borrow_and_update().clone();
        if about.stop.is_cancelled() {
            return;
        }
        if let Some(progress) = newest
            && let Err(error) = record(components, &about, progress).await
        {
            tracing::error!(error = ?error, "failed to record the progress of a call");
        }
        next = Instant::now() + MIN_EVENT_INTERVAL;
    }
}

async fn record(components: &Components, about: &ReportedCall, Progress { message, done }: Progress) -> Result<()> {
    let (subject, agent, step_id) = (about.subject.clone(), about.agent, about.step.clone());
    let event = Event::SkillProgress { step_id: step_id.clone(), skill_id: about.skill.clone(), message, done };
    components
        .store
        .write(move |tx| {
            Box::pin(async move {
                // The run may have been cancelled or the agent deleted meanwhile.
                let open = match &step_id {
                    Some(step) => store::steps::is_open(tx, step).await?,
                    None => store::agents::exists(tx, agent).await?,
                };
                if open { events::record(tx, &subject, event).await } else { Ok(()) }
            })
        })
        .await
}
