//! Hints for operators on failures of services: which option or command helps.

use moxxy_runtime::Failure;
use moxxy_types::installations::Installation;

/// Ends of paths that are operations of a service and no part of its base URL.
const OPERATIONS: [&str; 7] =
    ["/chat/completions", "/completions", "/responses", "/messages", "/models", "/api/chat", "/api/generate"];
const NO_MODEL: [&str; 4] = ["not found", "no model", "does not exist", "unknown model"];
const NO_QUOTA: [&str; 5] = ["quota", "billing", "credit", "balance", "payment"];

/// Returns the message of a failure with the address of the service and a hint.
pub(in crate::services) fn with_hint(failure: &Failure, provider: &Installation, model: &str) -> String {
    let message = failure.message().trim_end_matches(['.', ' ']);
    let is_of_service = failure.code().starts_with("provider_") || failure.code() == "context_too_long";
    let address = Address::new(provider);
    let place = address.url.filter(|url| is_of_service && !message.contains(url));
    let place = place.map(|url| format!(" (from {url})")).unwrap_or_default();
    let hint = hint(failure, &address, provider, model).map(|hint| format!("; {hint}")).unwrap_or_default();
    if place.is_empty() && hint.is_empty() { failure.message().to_owned() } else { format!("{message}{place}{hint}") }
}

fn hint(failure: &Failure, address: &Address<'_>, provider: &Installation, model: &str) -> Option<String> {
    let (message, name) = (failure.message().to_lowercase(), &provider.name);
    let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
    // A hint of the provider's own is better.
    if says(&["moxxy "]) {
        return None;
    }
    Some(match failure.code() {
        "provider_authentication" => refused_hint(&message, provider),
        "provider_unreachable" => return unreachable_hint(&message, address),
        "provider_rejected_request" if says(&["model"]) && says(&NO_MODEL) => {
            format!("`moxxy provider models {name}` lists the models; `{model}` is the agent's")
        }
        "provider_rejected_request" if says(&["404", "not found"]) => address.path_hint(),
        "provider_overloaded" | "provider_loading" if address.url.is_some() => {
            "try again later, or give the agent another model: `moxxy agent update AGENT --fallback PROVIDER/MODEL`"
                .to_owned()
        }
        "provider_rate_limited" | "provider_failed" if says(&NO_QUOTA) => {
            "the account at the service needs quota or credit; `moxxy secret rotate` replaces the key by that of another \
             account"
                .to_owned()
        }
        "provider_failed" if says(&["redirects to"]) => {
            format!("if that is the service's address: {}", address.command("URL"))
        }
        "provider_failed" if says(&["cannot stand in the place"]) => {
            "store the key without line ends and other control characters: `moxxy secret rotate`".to_owned()
        }
        "component_limit" if says(&["did not begin to answer"]) => {
            "raise `first_token` in `[plugins]` of the configuration if the service needs more time".to_owned()
        }
        "component_limit" if says(&["paused for more than"]) => {
            "raise `between_tokens` in `[plugins]` of the configuration if the service needs more time".to_owned()
        }
        _ => return None,
    })
}

/// Returns the hint for a service that lets nobody in: because of the key, or of what else the request shows.
fn refused_hint(message: &str, provider: &Installation) -> String {
    let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
    let schema = provider.component.manifest.config_schema.as_ref();
    let has_option =
        |option: &str| schema.is_some_and(|schema| schema.pointer(&format!("/properties/{option}")).is_some());
    let name = &provider.name;
    match () {
        () if says(&["country", "region", "territory"]) => {
            "the service does not serve the region of this server; use another service".to_owned()
        }
        () if says(&["organization", "project"]) && has_option("organization") => format!(
            "check the options `organization` and `project`: `moxxy provider update {name} --set organization=ID`"
        ),
        () => format!(
            "check the key, which is stored without `Bearer`, quotes and spaces: `moxxy secret rotate` replaces it, and \
             `moxxy grant add` lets provider '{name}' use one"
        ),
    }
}

fn unreachable_hint(message: &str, address: &Address<'_>) -> Option<String> {
    let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
    let other_scheme = |from: &str, to: &str| {
        let url = address.url?.strip_prefix(from).map(|rest| format!("{to}{rest}"))?;
        Some(format!("if the address begins with {to} at this service: {}", address.command(&url)))
    };
    match () {
        () if says(&["a page"]) => Some(address.path_hint()),
        () if says(&["encrypted"]) => other_scheme("https://", "http://"),
        () if says(&["no http"]) => other_scheme("http://", "https://"),
        () if says(&["connect", "no address", "certificate", "in time"]) => {
            Some(format!("check that the service is running, and its address: {}", address.command("URL")))
        }
        () => None,
    }
}

/// The address of a service.
struct Address<'p> {
    provider: &'p str,
    /// The configured one, or the default of the component.
    url: Option<&'p str>,
    default: Option<&'p str>,
}

impl<'p> Address<'p> {
    fn new(provider: &'p Installation) -> Self {
        let schema = provider.component.manifest.config_schema.as_ref();
        let default = schema.and_then(|schema| schema.pointer("/properties/base_url/default")?.as_str());
        let configured = provider.config.get("base_url").and_then(|url| url.as_str());
        Self { provider: provider.name.as_str(), url: configured.or(default), default }
    }

    /// Returns the command that sets another address.
    fn command(&self, url: &str) -> String {
        format!("`moxxy provider update {} --set base_url={url}`", self.provider)
    }

    fn path_hint(&self) -> String {
        let usual = self.default.map(|default| format!(", which is usually like {default}")).unwrap_or_default();
        let command = self.command(self.corrected().as_deref().unwrap_or("URL"));
        format!("check the path of the address{usual}: {command}; a service with another API needs another component")
    }

    /// Returns the address without the path of an operation, and with the version in its path where the default has one.
    fn corrected(&self) -> Option<String> {
        let (url, default) = (self.url?, self.default?);
        let trimmed = url.trim_end_matches('/');
        let base = OPERATIONS.into_iter().find_map(|operation| trimmed.strip_suffix(operation)).unwrap_or(trimmed);
        let has_path = default.split_once("://").is_some_and(|(_, rest)| rest.trim_end_matches('/').contains('/'));
        let corrected = match base.strip_suffix("/v1") {
            None if default.ends_with("/v1") => format!("{base}/v1"),
            Some(rest) if !has_path => rest.to_owned(),
            _ => base.to_owned(),
        };
        (corrected != trimmed).then_some(corrected)
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn an_address_is_corrected_by_the_default_of_the_component() {
        let (openai, ollama) = ("https://api.openai.com/v1", "http://127.0.0.1:11434");
        for (default, url, corrected) in [
            (openai, "http://a/v1/chat/completions", Some("http://a/v1")),
            (openai, "http://a/", Some("http://a/v1")),
            (openai, "http://a/v1/", None),
            (ollama, "http://a/v1", Some("http://a")),
            (ollama, "http://a/api/chat", Some("http://a")),
            ("https://a/v1beta", "https://b/v1beta", None),
        ] {
            let address = Address { provider: "x", url: Some(url), default: Some(default) };
            assert_eq!(address.corrected().as_deref(), corrected, "{default} {url}");
        }
    }
}
