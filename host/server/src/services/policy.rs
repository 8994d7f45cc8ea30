//! Tool policy of an agent: the tools that its model may call, those that need approval, and those that may be called
//! again after a crash. Only the operator sets it; statements of a skill about its tools are hints.

use moxxy_store::{self as store, events};
use moxxy_types::{
    error::{Error, Result},
    events::{Event, EventContext},
    ids::Name,
    paging::{Page, PageRequest},
    policy::{Policy, Standing},
    tokens::Principal,
};

use crate::services::{
    etag::Expected,
    runs::{self, Runs},
    tools,
};

pub async fn show(runs: &Runs, agent: &Name) -> Result<Policy> {
    let mut db = runs.store.read().await?;
    let key = store::agents::get(&mut db, agent).await?.key;
    let policy = store::agents::policy(&mut db, key).await?;
    let skills = store::installations::skills(&mut db, key).await?;
    let tools: Vec<_> = tools::ToolSet::of_skills(&skills).all().map(|tool| tool.name).collect();
    Ok(Policy { unmatched: policy.unmatched(&tools), ..policy })
}

/// Returns a page of the decisions that apply to more than one call, oldest first.
pub async fn decisions(runs: &Runs, agent: &Name, page: &PageRequest) -> Result<Page<Standing>> {
    let mut db = runs.store.read().await?;
    let key = store::agents::get(&mut db, agent).await?.key;
    let standing = store::questions::all_standing(&mut db, key, page).await?;
    Ok(page.cut(standing, |decision| decision.question_id.to_string()))
}

/// Replaces the policy, and revokes all decisions that apply to more than one call.
pub async fn set(runs: &Runs, principal: Principal, agent: Name, policy: Policy, expected: Expected) -> Result<Policy> {
    policy.check()?;
    let (about, worker) = (agent.clone(), runs.clone());
    let setting = async move {
        let set = worker.store.write(move |tx| {
            Box::pin(async move {
                let key = store::agents::get(tx, &about).await?.key;
                expected.check(&store::agents::policy(tx, key).await?)?;
                store::agents::set_policy(tx, key, &policy).await?;
                store::questions::revoke_standing(tx, key).await?;
                let waiting = runs::reconsider(tx, key).await?;
                let subject = EventContext::agent(&about).by(principal.name());
                let mut now = serde_json::to_value(&policy).map_err(Error::internal)?;
                now.as_object_mut().map(|fields| fields.remove("unmatched"));
                let updated = Event::AgentUpdated { changed: vec!["tool_policy"], tool_policy: Some(now) };
                events::record(tx, &subject, updated).await?;
                Ok(waiting)
            })
        });
        let waiting = set.await?;
        waiting.iter().for_each(|run| runs::wake(&worker, run));
        Ok(())
    };
    runs.tasks.run_detached("policy", setting).await?;
    show(runs, &agent).await
}
