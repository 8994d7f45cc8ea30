//! Tests of a provider against its real service: a list of models, a completion, streaming and a tool call. The service
//! charges for them.

use moxxy_runtime::models::{Message, ModelOptions, Part, Request, Role, ToolDefinition};
use moxxy_store::{self as store, learned_models};
use moxxy_types::{error::Result, events::EventContext, ids::Name, installations::Installation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::services::{
    completion::{self, CallFailure, answer::Answer, learned, with_hint},
    components::Components,
    models::{self, Model},
};

/// Maximum number of output tokens of an answer.
const MAX_OUTPUT_TOKENS: u32 = 1024;
/// Maximum number of requests for one answer, because the provider may learn from refusals.
const MAX_REQUESTS: usize = 8;
const HELLO: &str = "Count from one to ten in words.";
const ADD: &str = "What is 20 + 22? Call the tool `add` to find out.";
const ADD_PARAMETERS: &str =
    r#"{"type":"object","properties":{"a":{"type":"number"},"b":{"type":"number"}},"required":["a","b"]}"#;

/// What to test.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "NewProviderTest")]
pub struct NewTest {
    /// The model; by default the first that the service lists.
    pub model: Option<String>,
}

/// What works with the real service.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ProviderTest")]
pub struct Report {
    /// The model that was asked; `null` if none is known.
    pub model: Option<String>,
    /// Names of the adaptations that the provider makes for the model.
    pub adaptations: Vec<String>,
    /// The tests, in the order in which they ran.
    pub tests: Vec<Outcome>,
}

/// The outcome of one test.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ProviderTestOutcome")]
pub struct Outcome {
    /// `models`, `completion`, `streaming` or `tool_call`.
    pub name: &'static str,
    /// Whether it works.
    pub passed: bool,
    /// What the service did, or why the test failed and what to do.
    pub message: String,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
}

/// Tests a provider.
pub async fn test(components: &Components, id: &Name, new: NewTest) -> Result<Report> {
    components.activation.check()?;
    let provider = store::installations::provider(&mut *components.store.read().await?, id).await?;
    let started = Instant::now();
    let listed = models::refresh(components, &provider).await;
    let (first, message) = match &listed {
        Ok(models) => (models.first().map(|model: &Model| model.id.clone()), format!("{} models", models.len())),
        Err(error) => (None, format!("{error}; a service that lists none needs the option `models`")),
    };
    let mut tests = vec![outcome("models", started, listed.is_ok(), message)];
    let model = new.model.or(first);
    let Some(name) = model.clone() else {
        return Ok(Report { model, adaptations: Vec::new(), tests });
    };
    let trial = Trial { components, provider: &provider, model: &name };
    tests.extend(trial.completion().await?);
    tests.push(trial.tool_call().await?);
    let known = learned_models::get(&mut *components.store.read().await?, provider.key, &name).await?;
    Ok(Report { model, adaptations: known.adaptations, tests })
}

struct Trial<'t> {
    components: &'t Components,
    provider: &'t Installation,
    model: &'t str,
}

impl Trial<'_> {
    /// Tests a completion, and whether it comes in pieces.
    async fn completion(&self) -> Result<[Outcome; 2]> {
        let started = Instant::now();
        let mut pieces = 0;
        let answered = self.ask(HELLO, Vec::new(), |_, _| pieces += 1).await?;
        let (passed, message) = match &answered {
            Ok(answer) if answer.is_empty() => (false, "the model answered nothing".to_owned()),
            Ok(answer) => (true, format!("stopped with `{}`", answer.stop_reason())),
            Err(failure) => (false, failure.clone()),
        };
        let completion = outcome("completion", started, passed, message);
        let message = match pieces {
            0 => "no text came".to_owned(),
            1 => "the text came in one piece, so clients see nothing until its end".to_owned(),
            pieces => format!("the text came in {pieces} pieces"),
        };
        Ok([completion, outcome("streaming", started, pieces > 1, message)])
    }

    async fn tool_call(&self) -> Result<Outcome> {
        let started = Instant::now();
        let add = ToolDefinition {
            name: "add".to_owned(),
            description: "Adds two numbers.".to_owned(),
            parameters: ADD_PARAMETERS.to_owned(),
        };
        let (passed, message) = match self.ask(ADD, vec![add], |_, _| {}).await? {
            Ok(answer) if answer.has_calls() => (true, "the model called the tool".to_owned()),
            Ok(_) => (
                false,
                "the model called no tool, so its agents can use none; choose a model that calls tools".to_owned(),
            ),
            Err(failure) => (false, failure),
        };
        Ok(outcome("tool_call", started, passed, message))
    }

    /// Asks the model, again as long as the provider learns from the service's refusals. Returns why there is no answer as
    /// an error.
    async fn ask(
        &self,
        question: &str,
        tools: Vec<ToolDefinition>,
        mut on_text: impl FnMut(usize, &str),
    ) -> Result<Result<Answer, String>> {
        let Self { components, provider, model } = *self;
        let mut known = learned_models::get(&mut *components.store.read().await?, provider.key, model).await?;
        for _ in 0..MAX_REQUESTS {
            let output = known.max_output_tokens.unwrap_or(MAX_OUTPUT_TOKENS).min(MAX_OUTPUT_TOKENS);
            let request = request(model, question, tools.clone(), output, known.adaptations.clone());
            let context = completion::context(components, provider, EventContext::default()).await?;
            let answered = completion::complete(components, provider, context, request, |at, text| {
                on_text(at, text);
                Ok(())
            });
            let CallFailure { failure, .. } = match answered.await? {
                Ok(answer) => return Ok(Ok(answer)),
                Err(failed) => *failed,
            };
            let Some(more) = learned::learn(&known, &failure, (known.context_window, output)) else {
                return Ok(Err(with_hint(&failure, provider, model)));
            };
            known = more.clone();
            let (provider, model) = (provider.clone(), model.to_owned());
            let put = components
                .store
                .write(move |tx| Box::pin(async move { learned_models::put(tx, &provider, &model, &more).await }));
            put.await?;
        }
        Ok(Err("the service refuses one request after another".to_owned()))
    }
}

fn request(model: &str, question: &str, tools: Vec<ToolDefinition>, output: u32, adaptations: Vec<String>) -> Request {
    let message = Message { role: Role::User, parts: vec![Part::Text(question.to_owned())], opaque: Vec::new() };
    Request {
        model: model.to_owned(),
        system: None,
        messages: vec![message],
        tools,
        options: ModelOptions::default(),
        max_output_tokens: Some(output),
        response_schema: None,
        idempotency_key: None,
        adaptations,
    }
}

fn outcome(name: &'static str, started: Instant, passed: bool, message: String) -> Outcome {
    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Outcome { name, passed, message, milliseconds }
}
