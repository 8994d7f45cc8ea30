//! What decides on a step beside the history: the run, and its agent's settings, tool policy and skills. Loaded for each step, so
//! that a change takes effect with the next one.

use moxxy_store::{self as store, Db};
use moxxy_types::{agents::Settings, error::Result, installations::Installation, policy::Policy, runs::Run};

use crate::services::tools::ToolSet;

#[derive(Debug)]
pub(super) struct StepState {
    pub run: Run,
    pub settings: Settings,
    pub policy: Policy,
    pub skills: Vec<Installation>,
}

impl StepState {
    pub(super) async fn load(db: &mut Db, run: Run) -> Result<Self> {
        let (settings, policy) = store::agents::settings(db, run.agent).await?;
        let skills = store::installations::skills(db, run.agent).await?;
        Ok(Self { run, settings, policy, skills })
    }

    pub(super) fn tools(&self) -> ToolSet<'_> {
        let Self { run, skills, .. } = self;
        ToolSet { skills, of_client: &run.options.client_tools, unattended: run.unattended }
    }
}
