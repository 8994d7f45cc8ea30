//! Conformance suite for providers: public, versioned test cases. Each case runs the component in its sandbox
//! against a scripted service. [`script`] defines what the service answers, a [protocol
//! profile](ProtocolProfile) how the answers are encoded, [`cases`] the expected results, and [`Report`] the
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
const BROKEN: [&str; 3] = ["hung", "component_trapped", "component_limit"];
/// URL of the service, for components that need one in their configuration.
const SERVICE: &str = "https://service.example";

/// Runs the suite on an installed component. Without a profile, it is detected from the component's first
/// request.
pub async fn check(
    plugins: &Plugins,
    component: &Description,
    config: Map<String, Value>,
    wire: Option<ProtocolProfile>,
) -> Result<Report> {
    if component.world != World::Provider {
        let message = format!("The component is a {}; the suite is for providers", component.world.as_str());
        return Err(Error::invalid("wrong_world", message));
    }
    let config = placed(component, config);
    let bench = match wire {
        Some(wire) => Harness::new(plugins, component, &config, wire)?,
        None => known(plugins, component, &config).await?,
    };
    let cases = cases::run(&bench).await;
    match bench.trouble() {
        Some(failure) => Err(failure.into()),
        None => Ok(Report::new(component.digest.clone(), bench.wire.name, cases)),
    }
}

/// Sets the URL of the scripted service in each host option that has no value.
fn placed(component: &Description, config: Map<String, Value>) -> Map<String, Value> {
    let mut config = config;
    for option in component.manifest.hosts.iter().filter_map(option) {
        config.entry(option).or_insert_with(|| SERVICE.into());
    }
    config
}

fn option(request: &HostRequest) -> Option<&str> {
    request.host.strip_prefix("config:")
}

/// Detects the component's protocol by requesting a completion.
async fn known<'p>(plugins: &'p Plugins, component: &Description, config: &Map<String, Value>) -> Result<Harness<'p>> {
    let wires = ProtocolProfile::embedded()?;
    let any = wires.first().cloned().ok_or_else(|| Error::internal("there is no wire"))?;
    let bench = Harness::new(plugins, component, config, any)?;
    let service = Service::new(&bench.monitor, |_| Reply::new(503, ""));
    let (mut heard, begun) = (transcript::Transcript::default(), bench.begin(&service, request::plain()).await);
    match begun {
        Ok(mut completion) => while bench.next(&mut completion, &mut heard, &service).await.is_some() {},
        Err(failure) => heard.failure = Some(failure),
    }
    if let Some(failure) = bench.trouble() {
        return Err(failure.into());
    }
    let names = wires.iter().map(|wire| format!("`{}` ({} …{})", wire.name, wire.method, wire.path));
    let names = names.collect::<Vec<_>>().join(", ");
    let advice = format!("the suite's wires are {names}; of another service, give its own");
    let Some(first) = service.seen().into_iter().next() else {
        // A component that hangs or traps fails the cases of any profile.
        if heard.failure.as_ref().is_some_and(|failure| BROKEN.contains(&failure.code())) {
            return Harness::new(plugins, component, config, bench.wire);
        }
        let message = format!("The component asked no service: {}; {advice}", heard.message());
        return Err(Error::invalid("unknown_wire", message));
    };
    let wire = wires.into_iter().find(|wire| wire.is_asked(&first.method, &first.path));
    let asked = || {
        format!("The component asks {} {}; {advice}", first.method, first.path.chars().take(200).collect::<String>())
    };
    let wire = wire.ok_or_else(|| Error::invalid("unknown_wire", asked()))?;
    // Start with a new harness, so that the detection call does not count.
    Harness::new(plugins, component, config, wire)
}
