//! Descriptions of components: their manifest and tools, which they return under tight limits.

use std::collections::BTreeSet;

use moxxy_types::{
    components::{Description, World},
    digest::Digest,
    error::{Error, Result},
    ids::Name,
};
use wasmtime::{Engine, component::Component};

use crate::{CallContext, Failure, Plugins, call::Call, exports::Exports, limits::Limits, manifest, swap::HostEngine};

impl Plugins {
    /// Lets a component describe itself.
    pub(super) async fn describe(
        &self,
        engine: &HostEngine,
        component: &Component,
        digest: Digest,
        size: usize,
    ) -> Result<Description> {
        let linked = Exports::new(&engine.linker, component).map_err(rejected)?;
        let world = linked.world();
        let (engine, limits) = (component.engine().clone(), Limits::of_descriptions(&self.config));
        let context = CallContext { frozen_clock: true, ..CallContext::new(Name::from_db("component".into())) };
        let ticking = self.clock.tick();
        let describing = async move {
            let _ticking = ticking;
            let manifest = Call::new(&engine, context.clone(), &limits).describe(&linked).await;
            let manifest = manifest.map_err(|failure| undescribed("get-manifest", failure))?;
            let wrong = |why| rejected(format!("Its manifest is wrong: {why}"));
            let manifest = manifest::manifest(manifest).map_err(wrong)?;
            if world != World::Skill {
                return Ok((manifest, Vec::new()));
            }
            let tools = Call::new(&engine, context, &limits).list_tools(&linked).await;
            let tools = tools.map_err(|failure| undescribed("list-tools", failure))?;
            let wrong = |why| rejected(format!("Its list of tools is wrong: {why}"));
            let tools = manifest::tools(tools).map_err(wrong)?;
            Ok::<_, Error>((manifest, tools))
        };
        let (manifest, tools) = self.guests.spawn(describing).await??;
        let imports = Some(imported_interfaces(component, component.engine()));
        Ok(Description { digest, world, manifest, tools, imports, size })
    }
}

/// Returns the error for a component that did not describe itself. If the host refused the call, that is no fault of the
/// component.
fn undescribed(function: &str, failure: Failure) -> Error {
    match failure {
        Failure::Refused { .. } => failure.into(),
        other => rejected(format!("Its {function}() failed: {}", other.message())),
    }
}

/// Returns the interfaces that a component imports.
fn imported_interfaces(component: &Component, engine: &Engine) -> Vec<String> {
    let kind = component.component_type();
    let name = |(name, _): (&str, _)| name.split('@').next().unwrap_or(name).to_owned();
    let names: BTreeSet<_> = kind.imports(engine).map(name).collect();
    names.into_iter().collect()
}

/// Returns the error for a component that is at fault.
pub(crate) fn rejected(message: String) -> Error {
    Error::invalid("invalid_component", message)
}
