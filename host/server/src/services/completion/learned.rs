//! What errors of a service tell about a model. It is remembered for the model, so that later calls do not fail again.

use moxxy_runtime::{Failure, Learned};
use moxxy_store::learned_models::{LearnedModel, MAX_ADAPTATIONS};

/// Minimum context window and output limit that are learned, in tokens. A smaller one would leave no room for anything.
const MIN_TOKENS: u32 = 64;

/// Returns what is known of a model after a failure, or `None` if the failure tells nothing new. `window` and `output`
/// are the limits that the failed call kept to.
pub(in crate::services) fn learn(
    known: &LearnedModel,
    failure: &Failure,
    (window, output): (Option<u32>, u32),
) -> Option<LearnedModel> {
    let Failure::ComponentError { learned: Some(learned), .. } = failure else { return None };
    let mut known = known.clone();
    match learned {
        Learned::ContextWindow(tokens) if *tokens >= MIN_TOKENS && window.is_none_or(|window| *tokens < window) => {
            known.context_window = Some(*tokens);
        }
        Learned::OutputLimit(tokens) if *tokens >= MIN_TOKENS && *tokens < output => {
            known.max_output_tokens = Some(*tokens);
        }
        Learned::Adaptation(name) if known.adaptations.len() < MAX_ADAPTATIONS && !known.adaptations.contains(name) => {
            known.adaptations.push(name.clone());
        }
        _ => return None,
    }
    Some(known)
}
