//! How far a call is: events while it runs. A report that comes too soon after the last one waits,
//! and the newest of those that wait is told.

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

/// The least time between two events.
const PAUSE: Duration = Duration::from_millis(100);

/// The call that is told of.
pub struct About {
    pub subject: EventContext,
    /// The agent: a new one of its name is another.
    pub agent: AgentKey,
    pub skill: Name,
    pub step: Option<StepId>,
    pub stop: CancellationToken,
}

/// Tells of reports until the call has ended.
pub async fn tell(
    components: &Components,
    about: About,
    mut reports: watch::Receiver<Option<Progress>>,
    ended: CancellationToken,
) {
    let mut next = Instant::now();
    while reports.changed().await.is_ok() {
        // The last report of a call waits for nothing.
        ended.run_until_cancelled(sleep_until(next)).await;
        let newest = reports.borrow_and_update().clone();
        if about.stop.is_cancelled() {
            return;
        }
        if let Some(progress) = newest
            && let Err(error) = record(components, &about, progress).await
        {
            tracing::error!(error = ?error, "the progress of a call could not be told");
        }
        next = Instant::now() + PAUSE;
    }
}

async fn record(components: &Components, about: &About, Progress { message, done }: Progress) -> Result<()> {
    let (subject, agent, step_id) = (about.subject.clone(), about.agent, about.step.clone());
    let event = Event::SkillProgress { step_id: step_id.clone(), skill_id: about.skill.clone(), message, done };
    components
        .store
        .write(move |tx| {
            Box::pin(async move {
                // Nothing is told of a run that was cancelled meanwhile, or of an agent that is gone.
                let open = match &step_id {
                    Some(step) => store::steps::is_open(tx, step).await?,
                    None => store::agents::exists(tx, agent).await?,
                };
                if open { events::record(tx, &subject, event).await } else { Ok(()) }
            })
        })
        .await
}
