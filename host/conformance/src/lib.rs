//! Conformance suite for providers: public, versioned test cases. Each case runs the component in its sandbox
//! against a scripted service. `script` defines what the service answers, a [protocol
//! profile](ProtocolProfile) how the answers are encoded, `cases` the expected results, and [`Report`] the
//! outcome.

mod cases;
mod harness;
mod monitor;
mod request;
mod script;
mod service;
mod transcript;
mod wire;

use moxxy_runtime::Plugins;
use moxxy_types::{
    checks::Report,
    components::{Description, HostRequest, World},
    error::{Error, Result},
};
use serde_json::{Map, Value};

use self::{
    harness::Harness,
    service::{Reply, Service},
};

pub use wire::ProtocolProfile;
/// Failure codes that say nothing about the protocol.
const FAULT_CODES: [&str; 3] = ["hung", "component_trapped", "component_limit"];
/// URL of the service, for components that need one in their configuration.
const SERVICE_URL: &str = "https://service.example";

/// Runs the suite on an installed component. Without a profile, it is detected from the component's first
/// request.
pub async fn check(
    plugins: &Plugins,
    component: &Description,
    config: Map<String, Value>,
    profile: Option<ProtocolProfile>,
) -> Result<Report> {
    if component.world != World::Provider {
        let message = format!("The component is a {}; the suite is for providers", component.world.into_str());
        return Err(Error::invalid("wrong_world", message));
    }
    let config = with_service_url(component, config);
    let harness = match profile {
        Some(profile) => Harness::new(plugins, component, &config, profile)?,
        None => detect_profile(plugins, component, &config).await?,
    };
    let cases = cases::run(&harness).await;
    match harness.host_failure() {
        Some(failure) => Err(failure.into()),
        None => Ok(Report::new(component.digest.clone(), harness.profile.name, cases)),
    }
}

/// Sets the URL of the scripted service in each host option that has no value.
fn with_service_url(component: &Description, config: Map<String, Value>) -> Map<String, Value> {
    let mut config = config;
    for option in component.manifest.hosts.iter().filter_map(host_option) {
        config.entry(option).or_insert_with(|| SERVICE_URL.into());
    }
    config
}

fn host_option(request: &HostRequest) -> Option<&str> {
    request.host.strip_prefix("config:")
}

/// Detects the component's protocol by requesting a completion.
async fn detect_profile<'p>(
    plugins: &'p Plugins,
    component: &Description,
    config: &Map<String, Value>,
) -> Result<Harness<'p>> {
    let profiles = ProtocolProfile::embedded()?;
    let first_profile = profiles.first().cloned().ok_or_else(|| Error::internal("there is no wire"))?;
    let harness = Harness::new(plugins, component, config, first_profile)?;
    let service = Service::new(&harness.monitor, |_| Reply::new(503, ""));
    let (mut transcript, started) =
        (transcript::Transcript::default(), harness.start_completion(&service, request::plain()).await);
    match started {
        Ok(mut completion) => while harness.next(&mut completion, &mut transcript, &service).await.is_some() {},
        Err(failure) => transcript.failure = Some(failure),
    }
    if let Some(failure) = harness.host_failure() {
        return Err(failure.into());
    }
    let names = profiles.iter().map(|profile| format!("`{}` ({} …{})", profile.name, profile.method, profile.path));
    let names = names.collect::<Vec<_>>().join(", ");
    let advice = format!("the suite's wires are {names}; of another service, give its own");
    let Some(first) = service.requests().into_iter().next() else {
        // A component that hangs or traps fails the cases of any profile.
        if transcript.failure.as_ref().is_some_and(|failure| FAULT_CODES.contains(&failure.code())) {
            return Harness::new(plugins, component, config, harness.profile);
        }
        let message = format!("The component asked no service: {}; {advice}", transcript.message());
        return Err(Error::invalid("unknown_wire", message));
    };
    let profile = profiles.into_iter().find(|profile| profile.is_completion_request(&first.method, &first.path));
    let unknown_request = || {
        format!("The component asks {} {}; {advice}", first.method, first.path.chars().take(200).collect::<String>())
    };
    let profile = profile.ok_or_else(|| Error::invalid("unknown_wire", unknown_request()))?;
    // Start with a new harness, so that the detection call does not count.
    Harness::new(plugins, component, config, profile)
}
