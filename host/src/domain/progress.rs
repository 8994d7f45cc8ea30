//! How far a call is: events while it runs. A report that comes too soon after the last one waits,
//! and the newest of those that wait is told.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    error::Result,
    events::{self, Event, Subject},
    ids::{Name, StepId},
    plugins::Progress,
    store,
};

/// The least time between two events.
const PAUSE: Duration = Duration::from_millis(100);

/// The call that is told of.
pub struct About {
    pub subject: Subject,
    pub skill: Name,
    pub step: Option<StepId>,
    pub stop: CancellationToken,
}

/// Tells of reports until the call has ended, which it shows by dropping the sender.
pub async fn tell(app: &App, about: About, mut reports: watch::Receiver<Option<Progress>>) {
    let mut next = Instant::now();
    while reports.changed().await.is_ok() {
        let mut newest = reports.borrow_and_update().clone();
        let newer = async {
            while reports.changed().await.is_ok() {
                newest = reports.borrow_and_update().clone();
            }
        };
        // It ends early with the call: its last report waits for nothing.
        drop(timeout_at(next, newer).await);
        if about.stop.is_cancelled() {
            return;
        }
        if let Some(progress) = newest
            && let Err(error) = record(app, &about, progress).await
        {
            tracing::error!(error = ?error, "the progress of a call could not be told");
        }
        next = Instant::now() + PAUSE;
    }
}

async fn record(app: &App, about: &About, Progress { message, done }: Progress) -> Result<()> {
    let (subject, step_id) = (about.subject.clone(), about.step.clone());
    let event = Event::SkillProgress { step_id: step_id.clone(), skill_id: about.skill.clone(), message, done };
    app.store
        .write(move |tx| {
            Box::pin(async move {
                // Nothing is told of a run that was cancelled meanwhile, or of an agent that is gone.
                let open = match (&step_id, &subject.agent) {
                    (Some(step), _) => store::steps::is_open(tx, step).await?,
                    (None, Some(agent)) => store::agents::get(tx, agent).await.is_ok(),
                    (None, None) => false,
                };
                if open { events::record(tx, &subject, event).await } else { Ok(()) }
            })
        })
        .await
}
