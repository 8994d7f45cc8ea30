//! The answer of a run to the client that waits for it.

use moxxy_store::{self as store, Db, events::Subscription};
use moxxy_types::{
    error::{Error, Problem, Result},
    events::Filter,
    ids::{Name, RunId},
    messages::{Message, Role, ToolCall},
    runs::{Failure, Run, RunUsage, Status},
};

use crate::services::{
    chat::{FINAL_EVENTS, MESSAGE_SEPARATOR, stop_words},
    runs::{self, Runs},
    tools,
};

/// An agent's answer in a run.
#[derive(Debug)]
pub struct Answer {
    /// Text of all its messages, including those before tool calls, up to a stop word. In a run with a schema, the JSON
    /// text of the output.
    pub content: String,
    /// Calls of the client's tools, which it carries out.
    pub calls: Vec<ToolCall>,
    /// Stop reason of the last model call.
    pub stop_reason: String,
    pub usage: RunUsage,
}

/// Waits for the end of a run and returns it. Fails at a shutdown.
pub async fn ended(runs: &Runs, run: &Run) -> Result<Run> {
    let filter = Filter {
        runs: vec![run.run_id.to_string()],
        types: FINAL_EVENTS.map(str::to_owned).into(),
        ..Filter::default()
    };
    let mut subscription = Subscription::new(&runs.events, &runs.store, filter, None).await?;
    loop {
        let now = runs::get(runs, &run.agent_id, &run.run_id).await?;
        if !now.status.is_open() {
            return Ok(now);
        }
        tokio::select! {
            event = subscription.next() => event?.ok_or_else(shutting_down)?,
            () = runs.tasks.shutdown().cancelled() => return Err(shutting_down()),
        };
    }
}

/// Returns the agent's answer in a run that has ended, or the reason why there is none as an error.
pub async fn answer(runs: &Runs, agent: &Name, id: &RunId) -> Result<Answer> {
    let mut db = runs.store.read().await?;
    let run = runs::get_of_agent(&mut db, agent, id).await?;
    if run.status != Status::Completed {
        let has_acted = store::steps::any_tool_call(&mut db, id).await?;
        let stopped = || Failure {
            code: "run_stopped".to_owned(),
            message: "The run was stopped before it had an answer".to_owned(),
        };
        return Err(failed(run.error.unwrap_or_else(stopped), has_acted));
    }
    let messages = store::messages::of_run(&mut db, id).await?;
    let handed_over = tools::handed_over(&messages, &run.options.client_tools);
    let calls = handed_over.map(|(_, calls)| calls.into_iter().cloned().collect()).unwrap_or_default();
    let output = store::steps::last_model_output(&mut db, id).await?;
    let stop_reason = output.as_ref().and_then(|output| output.get("stop_reason")?.as_str());
    Ok(Answer {
        content: text(&messages, &run),
        calls,
        stop_reason: stop_reason.unwrap_or_default().to_owned(),
        usage: store::usage::of_run(&mut db, id).await?,
    })
}

/// Returns the text that an agent said in a run, up to a stop word. In a run with a schema it is the output alone.
pub(super) async fn content(db: &mut Db, run: &Run) -> Result<String> {
    Ok(text(&store::messages::of_run(db, &run.run_id).await?, run))
}

fn text(messages: &[Message], run: &Run) -> String {
    if run.options.output_schema.is_some() {
        return run.output.clone().unwrap_or_default();
    }
    let own = |message: &&Message| message.role == Role::Assistant && !message.quoted && !message.content.is_empty();
    let said: Vec<&str> = messages.iter().filter(own).map(|message| message.content.as_str()).collect();
    stop_words::cut(said.join(MESSAGE_SEPARATOR), &run.options.stop)
}

/// Maps the failure of a run to an error whose kind tells the client how to react. Clients repeat requests that failed
/// with 408, 409, 429 or 5xx, but after a tool was called the repetition would call it again.
fn failed(failure: Failure, has_acted: bool) -> Error {
    let Failure { code, message } = failure;
    if has_acted && !matches!(&*code, "run_stopped" | "output_invalid") {
        let message = format!(
            "The run failed ({code}) after it had called tools: {message}. The same request would call them again"
        );
        return Error::Invalid(Problem::new("run_failed", message), Vec::new());
    }
    let kind = code.clone();
    let problem = Problem::new(code, message);
    match &*kind {
        // The next attempt would end like this one.
        "context_too_long" | "content_refused" | "step_limit" | "token_limit" | "time_limit" | "tool_call_limit"
        | "cost_limit" | "output_invalid" | "run_stopped" => Error::Invalid(problem, Vec::new()),
        "provider_rate_limited" | "daily_token_limit" | "daily_cost_limit" => Error::Exhausted(problem),
        "provider_overloaded" | "provider_unreachable" | "busy" => Error::Unavailable(problem),
        _ => Error::ComponentError(problem),
    }
}

pub(super) fn shutting_down() -> Error {
    Error::unavailable("shutting_down", "The server is shutting down; the run goes on when it starts again")
}
