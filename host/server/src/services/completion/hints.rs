//! Hints for operators on failures of services: which option or command helps.

use moxxy_runtime::Failure;
use moxxy_types::installations::Installation;

/// Returns the message of a failure with the address of the service and a hint.
pub(in crate::services) fn with_hint(failure: &Failure, provider: &Installation, model: &str) -> String {
    let message = failure.message().trim_end_matches(['.', ' ']);
    let is_of_service = failure.code().starts_with("provider_") || failure.code() == "context_too_long";
    let address = address(provider).filter(|address| is_of_service && !message.contains(address));
    let place = address.map(|address| format!(" (from {address})")).unwrap_or_default();
    let hint = hint(failure, provider.name.as_str(), model).map(|hint| format!("; {hint}")).unwrap_or_default();
    if place.is_empty() && hint.is_empty() { failure.message().to_owned() } else { format!("{message}{place}{hint}") }
}

/// Returns the address of the service: the configured one, or the default of the component.
fn address(provider: &Installation) -> Option<&str> {
    let default = || provider.component.manifest.config_schema.as_ref()?.pointer("/properties/base_url/default");
    provider.config.get("base_url").or_else(default)?.as_str()
}

fn hint(failure: &Failure, provider: &str, model: &str) -> Option<String> {
    let message = failure.message().to_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
    // A hint of the provider's own is better.
    if says(&["moxxy "]) {
        return None;
    }
    Some(match failure.code() {
        "provider_authentication" => format!(
            "check the key: `moxxy secret rotate` replaces it, and `moxxy grant add` lets provider '{provider}' use one"
        ),
        "provider_unreachable"
            if says(&["connect", "no address", "no http", "certificate", "encrypted", "in time"]) =>
        {
            format!(
                "check that the service is running, and its address: `moxxy provider update {provider} --set base_url=URL`"
            )
        }
        "provider_rejected_request"
            if says(&["model"]) && says(&["not found", "no model", "does not exist", "unknown model"]) =>
        {
            format!("`moxxy provider models {provider}` lists the models; `{model}` is the agent's")
        }
        "provider_rejected_request" if says(&["404", "not found"]) => format!(
            "check the path of the address: `moxxy provider update {provider} --set base_url=URL`, which usually ends \
             with /v1"
        ),
        "component_limit" if says(&["did not begin to answer"]) => {
            "raise `first_token` in `[plugins]` of the configuration if the service needs more time".to_owned()
        }
        "component_limit" if says(&["paused for more than"]) => {
            "raise `between_tokens` in `[plugins]` of the configuration if the service needs more time".to_owned()
        }
        _ => return None,
    })
}
