//! Skills: components with tools, installed for an agent.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{RwLockReadGuard, watch};
use tokio_util::sync::CancellationToken;

use super::{
    consent::{self, Accept, Names, Permissions},
    progress::{self, About},
    source::Source,
    storage::{self, OfSkill},
    version::Expected,
};
use crate::{
    app::App,
    digest::Digest,
    error::{Error, Result},
    events::{self, Event, Subject},
    ids::{Name, StepId},
    plugins::{CallContext, Called, Caller, Description, Failure, Line, Log, Output, Prepared, Tool, World},
    store::{self, AgentKey, Tx},
    tasks,
};

#[derive(Debug, Clone)]
pub struct Skill {
    pub id: Name,
    pub component: Description,
    /// What the operator consented to.
    pub accepted: Names,
    /// Of the version before the last upgrade.
    pub previous: Option<Digest>,
    pub created_at: String,
}

/// A skill as clients see it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Skill")]
pub struct View {
    /// What its manifest calls it; unique for the agent.
    pub skill_id: Name,
    /// As its manifest says.
    pub version: String,
    /// In its own words.
    pub description: String,
    pub digest: Digest,
    /// Of the upload, in bytes.
    pub size: usize,
    /// What the model can call, as `skill__tool`.
    pub tools: Vec<Tool>,
    /// What its manifest asks for.
    pub asked: Permissions,
    /// What of that it has: public hosts that `accept` named.
    pub granted: Permissions,
    /// What of that it lacks. `accept` grants public hosts; private ones and secrets cannot be
    /// granted in this version, so a tool that needs one fails and says so.
    pub missing: Permissions,
    /// Always `unsigned`: signatures are not checked in this version.
    pub signature: &'static str,
    /// The digest that a rollback goes to.
    pub previous: Option<Digest>,
    /// When it was installed (RFC 3339, UTC).
    pub created_at: String,
}

/// What is to be installed, or to take the place of another version.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Install {
    /// Where the component comes from: one of these.
    pub source: Source,
    /// Of the component; another one is refused.
    pub digest: Option<Digest>,
    /// What of its wishes you consent to: names as an answer shows them, such as
    /// `host:api.example.com GET`, or `"all"`. Nothing if absent; a name that it does not ask
    /// for is refused.
    pub accept: Option<Accept>,
}

/// Installs a skill: it goes by its manifest's name. One whose client leaves meanwhile is installed
/// all the same, or cleaned up after.
pub async fn install(app: &App, agent: Name, install: Install) -> Result<Skill> {
    let worker = app.clone();
    app.tasks.carry_out("install", async move { take_in(&worker, agent, install).await }).await
}

async fn take_in(app: &App, agent: Name, Install { source, digest, accept }: Install) -> Result<Skill> {
    store::agents::get(&mut *app.store.read().await?, &agent).await?;
    let admitted = admit(app, source, digest, World::Skill).await?;
    let component = Description::clone(&admitted.description);
    let (id, subject) = (component.manifest.name.clone(), Subject::agent(&agent));
    let installed = app
        .store
        .write(move |tx| {
            Box::pin(async move {
                let key = store::agents::get(tx, &agent).await?.key;
                let accepted = Accept::names(accept, &component.manifest)?;
                store::components::insert(tx, &component).await?;
                store::skills::insert(tx, key, &id, &component.digest, &accepted).await?;
                let event = Event::SkillInstalled {
                    skill_id: id.clone(),
                    digest: component.digest,
                    version: component.manifest.version,
                    tools: component.tools.into_iter().map(|tool| tool.name).collect(),
                    accepted,
                };
                events::record(tx, &subject, event).await?;
                store::skills::get(tx, key, &id).await
            })
        })
        .await;
    drop(admitted);
    if installed.is_err() {
        tidy(app).await;
    }
    installed
}

pub async fn remove(app: &App, agent: Name, id: Name, expected: Expected) -> Result<()> {
    app.store
        .write(move |tx| {
            Box::pin(async move {
                let key = store::agents::get(tx, &agent).await?.key;
                expected.check(&View::from(store::skills::get(tx, key, &id).await?))?;
                store::skills::delete(tx, key, &id).await?;
                events::record(tx, &Subject::agent(&agent), Event::SkillRemoved { skill_id: id }).await
            })
        })
        .await?;
    collect(app).await
}

/// A component that was admitted; nothing is collected while it is held.
pub struct Admitted<'a> {
    prepared: Arc<Prepared>,
    _installing: RwLockReadGuard<'a, ()>,
}

impl std::ops::Deref for Admitted<'_> {
    type Target = Prepared;
    fn deref(&self) -> &Prepared {
        &self.prepared
    }
}

/// Takes a component into the server, for a skill or a provider.
pub async fn admit(app: &App, source: Source, digest: Option<Digest>, world: World) -> Result<Admitted<'_>> {
    let installing = app.installing.read().await;
    let (limit, folders) = (app.config.server.upload_limit, app.config.plugins.folders.clone());
    // Megabytes to decode and to hash.
    let read = move || source.bytes(limit, &folders, world).map(|bytes| (Digest::of(&bytes), bytes));
    let (actual, bytes) = tasks::blocking(read).await??;
    if let Some(expected) = digest.filter(|expected| *expected != actual) {
        let message = format!("The component's digest is {actual}, not {expected}");
        return Err(Error::invalid("digest_mismatch", message));
    }
    let prepared = app.plugins.admit(actual, bytes).await?;
    let admitted = Admitted { prepared, _installing: installing };
    let found = admitted.description.world;
    if found != world {
        let place = match found {
            World::Skill => "POST /v1/agents/{name}/skills/install",
            World::Provider => "POST /v1/providers",
        };
        drop(admitted);
        tidy(app).await;
        return Err(Error::invalid(
            "wrong_world",
            format!("The component is a {}; install it by {place}", found.as_str()),
        ));
    }
    Ok(admitted)
}

/// The same where something else has failed already, which is what matters.
pub async fn tidy(app: &App) {
    if let Err(error) = collect(app).await {
        tracing::error!(error = ?error, "unused components could not be removed");
    }
}

/// Removes components that nothing uses any more. While something is being installed they stay:
/// the next removal, or the next start, takes them.
pub async fn collect(app: &App) -> Result<()> {
    let Ok(_alone) = app.installing.try_write() else { return Ok(()) };
    let used = app.store.write(|tx| Box::pin(store::components::delete_unused(tx))).await?;
    app.plugins.retain(&used).await
}

/// One call of a tool.
#[derive(Debug)]
pub struct Invocation<'a> {
    pub agent: AgentKey,
    pub caller: Caller,
    pub skill: &'a Skill,
    pub tool: &'a str,
    pub arguments: &'a Map<String, Value>,
    /// Of the run that makes the call, if one does.
    pub step: Option<&'a StepId>,
    pub stop: CancellationToken,
}

/// A call that has ended, to be recorded with whatever else changes by it.
#[derive(Debug)]
pub struct Ended {
    agent: AgentKey,
    skill: Name,
    since: String,
    tool: String,
    step: Option<StepId>,
    called: Called,
}

pub async fn call(app: &App, invocation: Invocation<'_>) -> Result<Ended> {
    let Invocation { agent, caller, skill, tool, arguments, step, stop } = invocation;
    let run = caller.run.as_ref().map(|(_, run)| run.clone());
    let subject = Subject { agent: Some(caller.agent.clone()), run };
    let about = About { subject, agent, skill: skill.id.clone(), step: step.cloned(), stop: stop.clone() };
    let (progress, reports) = watch::channel(None);
    let context = CallContext {
        caller: Some(caller),
        progress: Some(progress),
        storage: Some(Arc::new(OfSkill::new(&app.store, agent, &skill.id))),
        stop,
        ..CallContext::new(skill.id.clone())
    };
    let text = serde_json::to_string(arguments).map_err(Error::internal)?;
    let ended = CancellationToken::new();
    let telling = progress::tell(app, about, reports, ended.clone());
    let calling = async {
        let _ended = ended.drop_guard();
        app.plugins.call_tool(&skill.component.digest, context, tool.to_owned(), text).await
    };
    let (called, ()) = tokio::join!(calling, telling);
    let (id, since) = (skill.id.clone(), skill.created_at.clone());
    Ok(Ended { agent, skill: id, since, tool: tool.to_owned(), step: step.cloned(), called })
}

impl Ended {
    /// Commits what the call wrote, if it has a result, tells of it, and gives the result.
    pub async fn record(self, tx: &mut Tx, subject: &Subject) -> Result<Result<Output, Failure>> {
        let Self { agent, skill, since, tool, step, called } = self;
        let result = match called.result {
            Ok(output) => storage::commit(tx, agent, &skill, &since, called.staged).await?.map(|()| output),
            Err(failure) => Err(failure),
        };
        events::record_all(tx, subject, logged(&skill, step.as_ref(), called.log)).await?;
        let (step_id, skill_id) = (step, skill.clone());
        let outcome = match &result {
            Ok(output) => {
                Event::SkillCompleted { step_id, skill_id, tool, output: output.to_value(), usage: called.usage }
            }
            Err(failure) => {
                let (code, message) = (failure.code().to_owned(), failure.message().to_owned());
                Event::SkillFailed { step_id, skill_id, tool, code, message, usage: Some(called.usage) }
            }
        };
        events::record(tx, subject, outcome).await?;
        if let Some(exceeded) = result.as_ref().err().and_then(|failure| limit_exceeded(&skill, failure)) {
            events::record(tx, subject, exceeded).await?;
        }
        Ok(result)
    }
}

fn logged(skill: &Name, step: Option<&StepId>, log: Log) -> Vec<Event> {
    let dropped = (log.dropped > 0).then(|| Line {
        level: "warn",
        context: "moxxy".into(),
        message: format!("{} more lines were dropped", log.dropped),
    });
    let event = |Line { level, context, message }: Line| Event::SkillLog {
        step_id: step.cloned(),
        skill_id: skill.clone(),
        level,
        context,
        message,
    };
    log.lines.into_iter().chain(dropped).map(event).collect()
}

/// The event for a component that ran over a limit.
pub fn limit_exceeded(component: &Name, failure: &Failure) -> Option<Event> {
    let Failure::Limit { limit, message } = failure else { return None };
    Some(Event::LimitExceeded { component: component.clone(), limit: limit.as_str().into(), message: message.clone() })
}

/// Calls a tool on a client's behalf, outside any run.
pub async fn invoke_directly(
    app: &App,
    agent: Name,
    id: Name,
    tool: String,
    arguments: Map<String, Value>,
) -> Result<Output> {
    let mut db = app.store.read().await?;
    let key = store::agents::get(&mut db, &agent).await?.key;
    let skill = store::skills::get(&mut db, key, &id).await?;
    drop(db);
    if !skill.component.tools.iter().any(|known| known.name == tool) {
        return Err(Error::not_found("tool", tool));
    }
    let invoked = Event::SkillInvoked {
        step_id: None,
        skill_id: id.clone(),
        tool: tool.clone(),
        arguments: Value::Object(arguments.clone()),
    };
    let about = agent.clone();
    app.store
        .write(move |tx| {
            Box::pin(async move {
                let subject = same(tx, &about, key).await?;
                events::record(tx, &subject, invoked).await
            })
        })
        .await?;
    let worker = app.clone();
    // A call that has begun is told of, even if its client leaves.
    let result = app.tasks.carry_out("invocation", async move {
        let (tool, arguments, stop) = (&*tool, &arguments, CancellationToken::new());
        let caller = Caller { agent: agent.clone(), run: None };
        let invocation = Invocation { agent: key, caller, skill: &skill, tool, arguments, step: None, stop };
        let ended = call(&worker, invocation).await?;
        record(&worker, agent, key, ended).await
    });
    Ok(result.await??)
}

async fn record(app: &App, agent: Name, key: AgentKey, ended: Ended) -> Result<Result<Output, Failure>> {
    app.store
        .write(move |tx| {
            Box::pin(async move {
                let subject = same(tx, &agent, key).await?;
                ended.record(tx, &subject).await
            })
        })
        .await
}

/// The subject of an agent's events, unless it is gone: a new one of its name is another.
async fn same(tx: &mut Tx, agent: &Name, key: AgentKey) -> Result<Subject> {
    match store::agents::exists(tx, key).await? {
        true => Ok(Subject::agent(agent)),
        false => Err(Error::not_found("agent", agent)),
    }
}

impl From<Skill> for View {
    fn from(skill: Skill) -> Self {
        let component = skill.component;
        let [asked, granted, missing] = consent::permissions(&component.manifest, &skill.accepted);
        Self {
            skill_id: skill.id,
            version: component.manifest.version,
            description: component.manifest.description,
            digest: component.digest,
            size: component.size,
            tools: component.tools,
            asked,
            granted,
            missing,
            signature: "unsigned",
            previous: skill.previous,
            created_at: skill.created_at,
        }
    }
}
