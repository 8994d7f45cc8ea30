//! Calls of skill tools, with their resources and their events.

use std::sync::Arc;

use moxxy_runtime::{
    AnsweredQuestion, CallContext, Caller, Config, Failure, Line, Log, Output, Secrets, ToolCallResult,
};
use moxxy_schema as schema;
use moxxy_store::{self as store, Tx, events};
use moxxy_types::{
    agents::AgentKey,
    error::{Error, Result},
    events::{Event, EventContext},
    ids::{Name, StepId},
    installations::{Installation, InstallationKey},
    policy::Verdict,
    tokens::{Principal, Scope},
};
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::services::{
    components::Components,
    egress::{self, CallEgress},
    progress::{self, ReportedCall},
    storage::{self, SkillStorage},
    vault::{call_secrets, secret_use::CallIdentity},
};

/// A tool call.
#[derive(Debug)]
pub struct Invocation<'a> {
    pub agent: AgentKey,
    pub caller: Caller,
    pub skill: &'a Installation,
    pub tool: &'a str,
    pub arguments: &'a Map<String, Value>,
    /// The user's earlier answers to the call; `None` if nobody can be asked.
    pub answers: Option<Vec<AnsweredQuestion>>,
    /// Step of the run that makes the call, if a run does.
    pub step: Option<&'a StepId>,
    pub stop: CancellationToken,
}

/// A call that has ended, to be recorded in the transaction of its effects.
#[derive(Debug, Clone)]
pub struct ToolCallOutcome {
    owner: (InstallationKey, AgentKey),
    skill: Name,
    tool: String,
    step: Option<StepId>,
    called: ToolCallResult,
}

pub async fn call(components: &Components, invocation: Invocation<'_>) -> Result<ToolCallOutcome> {
    let Invocation { agent, caller, skill, tool, arguments, answers, step, stop } = invocation;
    let run = caller.run.as_ref().map(|(_, run)| run.clone());
    let subject =
        EventContext { agent: Some(caller.agent.clone()), run, ..EventContext::default() }.by_component(&skill.name);
    let about = ReportedCall { subject, agent, skill: skill.name.clone(), step: step.cloned(), stop: stop.clone() };
    let (progress, reports) = watch::channel(None);
    let policy = egress::of_skill(components, (agent, &caller.agent), skill);
    let call_identity = CallIdentity {
        holder: skill.key,
        grantee: match skill.agent {
            Some(_) => vec![("agent_id", caller.agent.to_string()), ("component", skill.name.to_string())],
            None => vec![("installation_id", skill.id.to_string())],
        },
        component: skill.name.clone(),
        digest: skill.component.digest.clone(),
        subject: about.subject.clone(),
    };
    let secrets = call_secrets::CallSecrets::load(&components.vault, call_identity, &skill.component.manifest).await?;
    let outgoing = CallEgress::new(components, &skill.name, about.subject.clone(), policy, secrets.as_ref());
    let context = CallContext {
        waits_for_turn: caller.run.is_some(),
        caller: Some(caller),
        config: Config::from(&skill.config),
        progress: Some(progress),
        answers,
        secrets: secrets.map(|secrets| secrets as Arc<dyn Secrets>),
        outgoing: Some(outgoing),
        storage: Some(Arc::new(SkillStorage::new(&components.store, (skill.key, agent)))),
        stop,
        ..CallContext::new(skill.name.clone())
    };
    let text = serde_json::to_string(arguments).map_err(Error::internal)?;
    let ended = CancellationToken::new();
    let telling = progress::record_reports(components, about, reports, ended.clone());
    let calling = async {
        let _ended = ended.drop_guard();
        components.plugins.call_tool(&skill.component.digest, context, tool.to_owned(), text).await
    };
    let (called, ()) = tokio::join!(calling, telling);
    Ok(ToolCallOutcome {
        owner: (skill.key, agent),
        skill: skill.name.clone(),
        tool: tool.to_owned(),
        step: step.cloned(),
        called,
    })
}

impl ToolCallOutcome {
    /// Returns the call's question to the user, if the call must be repeated with the answer.
    pub fn question(&self) -> Option<&str> {
        match &self.called.result {
            Err(Failure::Pending { question }) => Some(question),
            _ => None,
        }
    }

    /// Returns the result, before its writes are committed.
    pub fn result(&self) -> &Result<Output, Failure> {
        &self.called.result
    }

    /// Whether the call wrote values, which may be refused when they are committed.
    pub fn has_writes(&self) -> bool {
        !self.called.staged.is_empty()
    }

    /// Commits the call's writes if it has a result, records its events, and returns the result.
    pub async fn record(self, tx: &mut Tx, subject: &EventContext) -> Result<Result<Output, Failure>> {
        let Self { owner, skill, tool, step, called } = self;
        let result = match called.result {
            Ok(output) => storage::commit(tx, owner, &skill, called.staged).await?.map(|()| output),
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

/// Returns the event for a component that exceeded a limit.
pub fn limit_exceeded(component: &Name, failure: &Failure) -> Option<Event> {
    let Failure::Limit { limit, message } = failure else { return None };
    Some(Event::LimitExceeded {
        component: component.clone(),
        limit: limit.into_str().into(),
        message: message.clone(),
    })
}

/// Calls a tool on a client's behalf, outside any run.
pub async fn invoke(
    components: &Components,
    principal: Principal,
    agent: Name,
    id: Name,
    tool: String,
    arguments: Map<String, Value>,
) -> Result<Output> {
    components.activation.check()?;
    let mut db = components.store.read().await?;
    let key = store::agents::get(&mut db, &agent).await?.key;
    let skill = store::installations::skill(&mut db, key, &id).await?;
    let policy = store::agents::policy(&mut db, key).await?;
    drop(db);
    let Some(known) = skill.component.tools.iter().find(|known| known.name == tool) else {
        return Err(Error::not_found("tool", tool));
    };
    match policy.verdict(&moxxy_types::runs::tool_name(&id, &tool), Some(&known.hints)) {
        Verdict::Allow => {}
        // The call itself is the approval.
        Verdict::Ask => principal.require(Scope::AgentsWrite, "to call a tool that needs approval")?,
        Verdict::Deny => {
            let message =
                format!("The tool policy of agent '{agent}' denies `{}`", moxxy_types::runs::tool_name(&id, &tool));
            return Err(Error::conflict("tool_denied", message));
        }
    }
    let (given, wrong) =
        components.plugins.check_arguments(&skill.component.digest, &tool, Value::Object(arguments)).await?;
    schema::reject_mismatches("invalid_arguments", "arguments", wrong)?;
    let arguments = given.as_object().cloned().unwrap_or_default();
    let invoked = Event::SkillInvoked { step_id: None, skill_id: id.clone(), tool: tool.clone(), arguments: given };
    let about = agent.clone();
    components
        .store
        .write(move |tx| {
            Box::pin(async move {
                let subject = same(tx, &about, key).await?.by(principal.name());
                events::record(tx, &subject, invoked).await
            })
        })
        .await?;
    let worker = components.clone();
    // A started call is recorded, even if the client disconnects.
    let result = components.tasks.run_detached("invocation", async move {
        let (tool, arguments, stop) = (&*tool, &arguments, CancellationToken::new());
        let caller = Caller { agent: agent.clone(), run: None };
        let invocation =
            Invocation { agent: key, caller, skill: &skill, tool, arguments, answers: None, step: None, stop };
        let ended = call(&worker, invocation).await?;
        record(&worker, agent, key, ended).await
    });
    Ok(result.await??)
}

async fn record(
    components: &Components,
    agent: Name,
    key: AgentKey,
    ended: ToolCallOutcome,
) -> Result<Result<Output, Failure>> {
    let recorded = components.store.persist(move |tx| {
        Box::pin(async move {
            let subject = same(tx, &agent, key).await?;
            ended.record(tx, &subject).await
        })
    });
    // The call was made. A client that gets a storage error would assume otherwise and repeat it.
    recorded.await.map_err(|error| match error.is_storage_error() {
        true => Error::internal("the server stopped before it could store what the call did"),
        false => error,
    })
}

/// Returns the event context of an agent, or an error if it was deleted, even if a new agent has its name.
async fn same(tx: &mut Tx, agent: &Name, key: AgentKey) -> Result<EventContext> {
    match store::agents::exists(tx, key).await? {
        true => Ok(EventContext::agent(agent)),
        false => Err(Error::not_found("agent", agent)),
    }
}
