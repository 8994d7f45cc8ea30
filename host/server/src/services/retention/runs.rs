//! Removal of runs that have ended, with their messages and steps.

use moxxy_store::{self as store, Store, retention::EndedRun};
use moxxy_types::{
    error::Result,
    events::{EventContext, SERVER_ACTOR},
};

use crate::services::{
    retention::cutoff,
    runs::{self, Runs},
};

/// Number of runs that are read at once.
const RUNS_PER_READ: i64 = 100;
/// A time after that of every run.
const ANY_TIME: &str = "~";

/// Which runs are removed: of those that clients of OpenAI's API started, or of the others.
pub(super) struct Surplus {
    of_chats: bool,
    before: Option<String>,
    /// Bytes, or less than 1.
    bytes: i64,
}

/// Removes runs. Returns their number.
pub(super) async fn prune(runs: &Runs) -> Result<i64> {
    let mut removed = 0;
    let limits = &runs.config.runs;
    for (of_chats, days, bytes) in
        [(true, limits.keep_chat_days, limits.keep_chat_bytes), (false, limits.keep_days, limits.keep_bytes)]
    {
        let mut surplus = Surplus::new(&runs.store, of_chats, days, bytes).await?;
        loop {
            let next = surplus.take(&runs.store, RUNS_PER_READ).await?;
            if next.is_empty() {
                break;
            }
            for run in next {
                if runs.tasks.shutdown().is_cancelled() {
                    return Ok(removed);
                }
                let subject = EventContext::agent(&run.agent_name).by(SERVER_ACTOR);
                runs::remove(&runs.store, (run.id, run.session), subject, of_chats).await?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

impl Surplus {
    /// `days` and `most`: how long and how many bytes of runs are kept, without limit if it is 0.
    pub(super) async fn new(store: &Store, of_chats: bool, days: i64, most: i64) -> Result<Self> {
        let before = cutoff(store, days).await?;
        let bytes = match most {
            0 => 0,
            most => store::retention::size_of_ended_runs(&mut *store.read().await?, of_chats).await? - most,
        };
        Ok(Self { of_chats, before, bytes })
    }

    /// Returns up to `max` of the runs that are removed, the oldest first.
    pub(super) async fn take(&mut self, store: &Store, max: i64) -> Result<Vec<EndedRun>> {
        let before = match &self.before {
            _ if self.bytes > 0 => ANY_TIME,
            Some(before) => before,
            None => return Ok(Vec::new()),
        };
        let mut ended = store::retention::ended_runs(&mut *store.read().await?, self.of_chats, before, max).await?;
        let is_removed = |run: &EndedRun| {
            let is_old = self.before.as_ref().is_some_and(|before| run.ended_at < *before);
            let is_removed = is_old || self.bytes > 0;
            self.bytes -= run.bytes;
            is_removed
        };
        let count = ended.iter().map(is_removed).take_while(|removed| *removed).count();
        ended.truncate(count);
        Ok(ended)
    }
}
