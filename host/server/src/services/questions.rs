//! What runs ask people: questions of the model and of skills, and approvals of tool calls. Each is a
//! row, so nothing is held in memory while a person thinks, and a restart loses none. The first answer
//! counts.

use std::time::Duration;

use moxxy_store::{self as store, Tx, events};
use moxxy_types::{
    clock,
    digest::Digest,
    error::{Error, Problem, Result},
    events::{Event, EventContext},
    ids::{Name, QuestionId},
    questions::{Decision, DecisionScope, Kind, NewQuestion, Question, Response, Status},
    runs::Run,
    tokens::{Principal, Scope},
};

use crate::{app::App, services::runs};
/// How often to look for questions that are to be given up, at least and at most: clocks may jump.
const LOOK: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_millis(10);

/// Writes a question down, and tells of it.
pub async fn ask(tx: &mut Tx, run: &Run, new: NewQuestion, seconds: i64) -> Result<()> {
    if new.kind == Kind::Approval {
        // One for another version of the component cannot be given any more.
        for id in store::questions::withdraw_for_call(tx, &new.message, &new.call_id).await? {
            tell(tx, run, id, "superseded").await?;
        }
    }
    let question = store::questions::insert(tx, run, new, seconds).await?;
    let requested = Event::AskRequested {
        question_id: question.question_id,
        kind: question.kind.as_str(),
        question: question.question,
        tool: question.tool,
        arguments: question.arguments,
        expires_at: question.expires_at,
    };
    events::record(tx, &EventContext::run(&run.agent_id, &run.run_id), requested).await
}

/// Answers a question of the agent; its run goes on.
pub async fn answer(
    app: &App,
    principal: Principal,
    agent: Name,
    id: QuestionId,
    response: Response,
) -> Result<Question> {
    app.check_active()?;
    let worker = app.clone();
    // The run goes on, even if the client leaves at this moment.
    app.tasks.run_detached("answer", async move { take(&worker, principal, agent, id, response).await }).await
}

async fn take(app: &App, principal: Principal, agent: Name, id: QuestionId, response: Response) -> Result<Question> {
    let (question, run) = app
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
                    not_by_starter(&principal, &run, policy.self_approval)?;
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
                    arguments_digest: answered.arguments.as_ref().map(|given| Digest::of(given.to_string().as_bytes())),
                    answer: answered.answer.clone(),
                    decision: answered.decision.map(Decision::as_str),
                    scope: answered.scope.map(DecisionScope::as_str),
                    by: principal.name().to_owned(),
                };
                events::record(tx, &EventContext::run(&agent, &run.run_id).by(principal.name()), told).await?;
                store::runs::resume(tx, &run.run_id).await?;
                Ok((answered, run))
            })
        })
        .await?;
    runs::wake(app, &run);
    Ok(question)
}

/// A token that starts runs must not approve by itself what they want to do.
fn not_by_starter(principal: &Principal, run: &Run, allowed: bool) -> Result<()> {
    let own = matches!(principal, Principal::Token(_)) && run.started_by == principal.name();
    if !own || allowed {
        return Ok(());
    }
    let message = "This token started the run, so another one has to decide, unless `self_approval` of the agent's \
                   tool policy is true";
    Err(Error::Forbidden(Problem::new("own_run", message)))
}

/// Gives up what nobody answers in time, for as long as the server runs.
pub fn spawn_expiry_task(app: &App) {
    if app.restored {
        return;
    }
    let (worker, shutdown) = (app.clone(), app.tasks.shutdown().clone());
    app.tasks.keep_running("questions", move || {
        let (worker, shutdown) = (worker.clone(), shutdown.clone());
        async move {
            shutdown.run_until_cancelled(expire_all(&worker)).await;
        }
    });
}

async fn expire_all(app: &App) {
    loop {
        let next = expire(app).await.unwrap_or_else(|error| {
            tracing::error!(?error, "questions could not be given up");
            LOOK
        });
        tokio::select! {
            () = tokio::time::sleep(next) => {}
            () = app.asked.notified() => {}
        }
    }
}

/// Gives up what nobody answered in time, and says how long until there may be more.
async fn expire(app: &App) -> Result<Duration> {
    let clock = app.store.clock();
    let late = store::questions::due(&mut *app.store.read().await?, &clock.timestamp()).await?;
    for (run, id) in late {
        let run = store::runs::get(&mut *app.store.read().await?, &run).await?;
        let expired = run.clone();
        app.store
            .write(move |tx| {
                Box::pin(async move {
                    if store::questions::expire(tx, &id).await? {
                        tell(tx, &expired, id, "time").await?;
                        store::runs::resume(tx, &expired.run_id).await?;
                    }
                    Ok(())
                })
            })
            .await?;
        runs::wake(app, &run);
    }
    let next = store::questions::next_expiry(&mut *app.store.read().await?).await?;
    let next = next.as_deref().and_then(clock::parse).map(|next| next - clock.now());
    Ok(next.map_or(LOOK, |next| Duration::try_from(next).unwrap_or_default()).clamp(SOON, LOOK))
}

/// Gives up the open questions of a run that has ended.
pub async fn close(tx: &mut Tx, run: &Run) -> Result<()> {
    for id in store::questions::give_up_all(tx, &run.run_id).await? {
        tell(tx, run, id, "run_ended").await?;
    }
    Ok(())
}

/// Takes back the approvals that a run waits for: they may not be needed any more, or are asked for anew.
pub async fn withdraw(tx: &mut Tx, run: &Run) -> Result<()> {
    for id in store::questions::withdraw_all(tx, &run.run_id).await? {
        tell(tx, run, id, "superseded").await?;
    }
    Ok(())
}

async fn tell(tx: &mut Tx, run: &Run, question_id: QuestionId, reason: &'static str) -> Result<()> {
    let subject = EventContext::run(&run.agent_id, &run.run_id);
    events::record(tx, &subject, Event::AskExpired { question_id, reason }).await
}
