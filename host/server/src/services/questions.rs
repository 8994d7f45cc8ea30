//! Questions of runs to people: questions of models and skills, and approvals of tool calls. Each is stored as a row,
//! so a waiting run holds nothing in memory and a restart loses none. The first answer counts.

use moxxy_store::{self as store, events};
use moxxy_types::{
    digest::Digest,
    error::{Error, Problem, Result},
    events::{Event, EventContext},
    ids::{Name, QuestionId},
    jobs::{Job, QUESTION_EXPIRY},
    paging::{Page, PageRequest},
    questions::{Kind, Question, Response, Status},
    runs::Run,
    tokens::{Principal, Scope},
};

use crate::{
    background::{Background, Effect, Next, Recurrence},
    services::runs::{self, Runs, record_expired},
};

/// Returns a page of the open questions of an agent, oldest first.
pub async fn list(runs: &Runs, agent: &Name, page: &PageRequest) -> Result<Page<Question>> {
    let mut db = runs.store.read().await?;
    let key = store::agents::get(&mut db, agent).await?.key;
    let open = store::questions::open_of(&mut db, key, page).await?;
    Ok(page.cut(open, |question| question.question_id.to_string()))
}

/// Answers a question of the agent, and resumes its run.
pub async fn answer(
    runs: &Runs,
    principal: Principal,
    agent: Name,
    id: QuestionId,
    response: Response,
) -> Result<Question> {
    runs.activation.check()?;
    let worker = runs.clone();
    // The run resumes even if the client disconnects now.
    runs.tasks.run_detached("answer", async move { record_answer(&worker, principal, agent, id, response).await }).await
}

async fn record_answer(
    runs: &Runs,
    principal: Principal,
    agent: Name,
    id: QuestionId,
    response: Response,
) -> Result<Question> {
    let (question, run) = runs
        .store
        .write(move |tx| {
            Box::pin(async move {
                let key = store::agents::get(tx, &agent).await?.key;
                let question = store::questions::get(tx, key, &id).await?;
                let run = store::runs::get(tx, &question.run_id).await?;
                response.check(&question)?;
                if question.kind == Kind::Approval {
                    principal.require(Scope::AgentsWrite, "to decide on an approval")?;
                    let policy = store::agents::policy(tx, key).await?;
                    check_not_own_run(&principal, &run, policy.self_approval)?;
                }
                if question.status != Status::Open {
                    let message = format!("Question '{id}' was answered already, or given up");
                    return Err(Error::conflict("question_ended", message));
                }
                let answered = store::questions::answer(tx, &id, &response, principal.name()).await?;
                let told = Event::AskAnswered {
                    question_id: id,
                    tool: answered.tool.clone(),
                    digest: answered.digest.clone(),
                    arguments_digest: answered
                        .arguments
                        .as_ref()
                        .map(|given| Digest::compute(given.to_string().as_bytes())),
                    answer: answered.answer.clone(),
                    decision: answered.decision.map(|decision| decision.into_str()),
                    scope: answered.scope.map(|scope| scope.into_str()),
                    by: principal.name().to_owned(),
                };
                events::record(tx, &EventContext::run(&agent, &run.run_id).by(principal.name()), told).await?;
                store::runs::resume(tx, &run.run_id).await?;
                Ok((answered, run))
            })
        })
        .await?;
    runs::wake(runs, &run);
    Ok(question)
}

/// Returns an error if a token answers an approval of a run that it started itself, unless that is allowed.
fn check_not_own_run(principal: &Principal, run: &Run, allowed: bool) -> Result<()> {
    let own = matches!(principal, Principal::Token(_)) && run.started_by == principal.name();
    if !own || allowed {
        return Ok(());
    }
    let message = "This token started the run, so another one has to decide, unless `self_approval` of the agent's \
                   tool policy is true";
    Err(Error::Forbidden(Problem::new("own_run", message)))
}

/// Registers the job that expires an unanswered question. In a restored server it waits for the activation.
pub fn register_jobs(runs: &Runs, background: &Background) {
    if runs.activation.is_pending() {
        return;
    }
    let runs = runs.clone();
    background.register(QUESTION_EXPIRY, Recurrence::Once, move |job| expire(runs.clone(), job));
}

async fn expire(runs: Runs, job: Job) -> Result<Effect> {
    let id = QuestionId::from_db(job.origin.unwrap_or_default());
    let mut db = runs.store.read().await?;
    let Some(run) = store::questions::run_of(&mut db, &id).await? else { return Ok(Effect::none(Next::Done)) };
    let run = match store::runs::get(&mut db, &run).await {
        // It was deleted with its agent.
        Err(Error::NotFound(_)) => return Ok(Effect::none(Next::Done)),
        other => other?,
    };
    drop(db);
    let expired = run.clone();
    let effect = Effect::new(move |tx| {
        Box::pin(async move {
            if store::questions::expire(tx, &id).await? {
                record_expired(tx, &expired, id, "time").await?;
                store::runs::resume(tx, &expired.run_id).await?;
            }
            Ok(Next::Done)
        })
    });
    Ok(effect.then(move || runs::wake(&runs, &run)))
}
