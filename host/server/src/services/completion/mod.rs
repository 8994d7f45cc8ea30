//! Model calls: a request to a provider, and what becomes of it. Knows no run.

pub(in crate::services) mod answer;
pub(in crate::services) mod budget;
mod hints;
pub(in crate::services) mod learned;
pub(in crate::services) mod retry;

use std::sync::Arc;

use moxxy_runtime::{self as plugins, CallContext, Completion, Secrets, models};
use moxxy_types::{
    error::Result,
    events::{EventContext, Usage},
    installations::Installation,
};

use crate::services::{
    components::Components,
    egress::{self, CallEgress},
    vault::{call_secrets, secret_use::CallIdentity},
};
use answer::Answer;
pub(in crate::services) use hints::with_hint;

/// Codes of failures where the service rejected a request before it did any work, or was not reached.
const REJECTED_CODES: [&str; 8] = [
    "provider_authentication",
    "provider_rate_limited",
    "provider_overloaded",
    "provider_loading",
    "provider_rejected_request",
    "provider_unreachable",
    "context_too_long",
    "output_too_long",
];

/// Maximum number of warnings of a call in the log.
const MAX_WARNINGS: usize = 8;
/// Maximum length of a warning in the log, in characters.
const MAX_WARNING_CHARS: usize = 500;

/// Failure of a call.
#[derive(Debug)]
pub(in crate::services) struct CallFailure {
    pub failure: plugins::Failure,
    /// What arrived before.
    pub answer: Answer,
    /// Resources that the component used, if the call started.
    pub resources: Option<Usage>,
}

impl CallFailure {
    /// Whether the service presumably did no work for the call.
    pub(in crate::services) fn is_free(&self) -> bool {
        let rejected = || REJECTED_CODES.contains(&self.failure.code());
        self.answer.is_untouched() && (self.resources.is_none() || rejected())
    }
}

/// Returns the context of a call to the provider: its configuration, secrets and egress.
pub async fn context(components: &Components, provider: &Installation, subject: EventContext) -> Result<CallContext> {
    let (manifest, subject) = (&provider.component.manifest, subject.by_component(&provider.name));
    let call_identity = CallIdentity {
        holder: provider.key,
        grantee: vec![("provider_id", provider.name.to_string())],
        component: provider.name.clone(),
        digest: provider.component.digest.clone(),
        subject: subject.clone(),
    };
    let secrets = call_secrets::CallSecrets::load(&components.vault, call_identity, manifest).await?;
    let outgoing = CallEgress::new(
        components,
        &provider.name,
        subject,
        egress::of_provider(components, provider),
        secrets.as_ref(),
    );
    Ok(CallContext {
        config: plugins::Config::from(&provider.config),
        secrets: secrets.map(|secrets| secrets as Arc<dyn Secrets>),
        outgoing: Some(outgoing),
        ..CallContext::new(provider.name.clone())
    })
}

/// Makes a call. `on_text` gets each text as it arrives, with its position in the answer, in bytes.
pub(in crate::services) async fn complete(
    components: &Components,
    provider: &Installation,
    context: CallContext,
    request: models::Request,
    on_text: impl FnMut(usize, &str) -> Result<()>,
) -> Result<Result<Answer, Box<CallFailure>>> {
    match components.plugins.complete(&provider.component.digest, context, request).await {
        Ok(completion) => read(components, provider, completion, on_text).await,
        Err(failure) => Ok(Err(Box::new(CallFailure { failure, answer: Answer::default(), resources: None }))),
    }
}

async fn read(
    components: &Components,
    provider: &Installation,
    mut completion: Completion,
    mut on_text: impl FnMut(usize, &str) -> Result<()>,
) -> Result<Result<Answer, Box<CallFailure>>> {
    let mut answer = Answer::default();
    let (limit, mut warnings) = (components.config.plugins.result, 0_usize);
    let failure = loop {
        match completion.next().await {
            None => break plugins::Failure::refused("stopped", "The call ended without a result"),
            Some(Err(failure)) => break failure,
            Some(Ok(models::Chunk::Warning(text))) => {
                warnings += 1;
                if warnings <= MAX_WARNINGS {
                    let warning: String = text.chars().take(MAX_WARNING_CHARS).collect();
                    tracing::warn!(provider = %provider.name, ?warning, "a provider warns");
                }
            }
            Some(Ok(chunk)) => {
                if let models::Chunk::Text(text) = &chunk {
                    on_text(answer.text.len(), text)?;
                }
                if let Err(what) = answer.add(chunk, limit) {
                    let message = format!("`{}` broke its contract: {what}", provider.name);
                    break plugins::Failure::Trapped { message };
                }
                if answer.stop.is_some() {
                    // Waits for the end of the call.
                    while completion.next().await.is_some() {}
                    (answer.resources, answer.redactor) = (completion.usage(), completion.redactor());
                    return Ok(Ok(answer));
                }
            }
        }
    };
    answer.redactor = completion.redactor();
    let resources = Some(completion.usage());
    Ok(Err(Box::new(CallFailure { failure, answer, resources })))
}
