//! Functions that a component exports, whichever version of the interfaces it was built for.

use moxxy_types::components::World;
use wasmtime::{
    Engine, Store,
    component::{Component, InstancePre, Linker, ResourceAny},
};

use crate::{
    bindings::{
        models::{ModelsWorld, ModelsWorldPre, exports::moxxy::plugin::models},
        plugin::{PluginWorldPre, exports::moxxy::plugin::plugin},
        tools::{ToolsWorldPre, exports::moxxy::plugin::tools},
    },
    previous::{self, Previous},
    state::CallState,
};

/// A component whose world and imports were checked.
#[derive(Clone)]
pub(crate) struct Exports {
    instance: InstancePre<CallState>,
    version: Version,
}

#[derive(Clone)]
enum Version {
    Tools(PluginWorldPre<CallState>, ToolsWorldPre<CallState>),
    Models(PluginWorldPre<CallState>, ModelsWorldPre<CallState>),
    Previous(World, Previous),
}

/// A running completion.
pub(crate) enum Completion {
    Current(ModelsWorld, ResourceAny),
    Previous(previous::Completion),
}

/// Returns the world of a component, and whether it was built for the previous version of the interfaces. Returns `None`
/// if it is of no known world.
fn world(component: &Component) -> Option<(World, bool)> {
    let has = |interface: &str| component.get_export_index(None, interface).is_some();
    let known = [
        ("moxxy:plugin/tools@0.2.0", World::Skill, false),
        ("moxxy:plugin/models@0.2.0", World::Provider, false),
        ("moxxy:plugin/tools@0.1.0", World::Skill, true),
        ("moxxy:plugin/models@0.1.0", World::Provider, true),
    ];
    let mut found = known.into_iter().filter(|(interface, ..)| has(interface));
    match (found.next(), found.next()) {
        (Some((_, world, is_previous)), None) => Some((world, is_previous)),
        _ => None,
    }
}

impl Exports {
    /// Links a component. The error is a sentence for its author.
    pub(crate) fn new(linker: &Linker<CallState>, component: &Component) -> Result<Self, String> {
        let (world, is_previous) = world(component).ok_or("It is of no world that Moxxy knows")?;
        let instance: InstancePre<CallState> = linker
            .instantiate_pre(component)
            .map_err(|e| format!("Its imports do not fit what Moxxy offers: {e:#}"))?;
        let version = Version::new(&instance, world, is_previous);
        Ok(Self { version: version.map_err(|e| format!("Its exports do not fit Moxxy's WIT: {e:#}"))?, instance })
    }

    pub(crate) fn world(&self) -> World {
        match &self.version {
            Version::Tools(..) => World::Skill,
            Version::Models(..) => World::Provider,
            Version::Previous(world, _) => *world,
        }
    }

    /// The engine that the component was loaded into.
    pub(crate) fn engine(&self) -> &Engine {
        self.instance.engine()
    }

    pub(crate) async fn manifest(&self, store: &mut Store<CallState>) -> wasmtime::Result<plugin::Manifest> {
        match &self.version {
            Version::Tools(pre, _) | Version::Models(pre, _) => {
                let plugin = pre.instantiate_async(&mut *store).await?;
                plugin.moxxy_plugin_plugin().call_get_manifest(store).await
            }
            Version::Previous(_, previous) => previous.manifest(store).await,
        }
    }

    pub(crate) async fn list_tools(&self, store: &mut Store<CallState>) -> wasmtime::Result<Vec<tools::Tool>> {
        match &self.version {
            Version::Tools(_, pre) => {
                let skill = pre.instantiate_async(&mut *store).await?;
                skill.moxxy_plugin_tools().call_list_tools(store).await
            }
            Version::Models(..) => Ok(Vec::new()),
            Version::Previous(_, previous) => previous.list_tools(store).await,
        }
    }

    pub(crate) async fn call_tool(
        &self,
        store: &mut Store<CallState>,
        tool: &str,
        arguments: &str,
    ) -> wasmtime::Result<Result<tools::Output, tools::Error>> {
        match &self.version {
            Version::Tools(_, pre) => {
                let skill = pre.instantiate_async(&mut *store).await?;
                skill.moxxy_plugin_tools().call_call(store, tool, arguments).await
            }
            Version::Models(..) => wasmtime::bail!("the component has no tools"),
            Version::Previous(_, previous) => previous.call_tool(store, tool, arguments).await,
        }
    }

    pub(crate) async fn list_models(
        &self,
        store: &mut Store<CallState>,
    ) -> wasmtime::Result<Result<Vec<models::Model>, models::Error>> {
        match &self.version {
            Version::Models(_, pre) => {
                let provider = pre.instantiate_async(&mut *store).await?;
                provider.moxxy_plugin_models().call_list_models(store).await
            }
            Version::Tools(..) => wasmtime::bail!("the component has no models"),
            Version::Previous(_, previous) => previous.list_models(store).await,
        }
    }

    /// Starts a completion.
    pub(crate) async fn complete(
        &self,
        store: &mut Store<CallState>,
        request: &models::Request,
    ) -> wasmtime::Result<Result<Completion, models::Error>> {
        match &self.version {
            Version::Models(_, pre) => {
                let provider = pre.instantiate_async(&mut *store).await?;
                let started = provider.moxxy_plugin_models().call_complete(store, request).await?;
                Ok(started.map(|completion| Completion::Current(provider, completion)))
            }
            Version::Tools(..) => wasmtime::bail!("the component has no models"),
            Version::Previous(_, previous) => {
                previous.complete(store, request).await.map(|started| started.map(Completion::Previous))
            }
        }
    }
}

impl Version {
    fn new(instance: &InstancePre<CallState>, world: World, is_previous: bool) -> wasmtime::Result<Self> {
        let instance = || instance.clone();
        Ok(match (world, is_previous) {
            (World::Skill, false) => Self::Tools(PluginWorldPre::new(instance())?, ToolsWorldPre::new(instance())?),
            (World::Provider, false) => {
                Self::Models(PluginWorldPre::new(instance())?, ModelsWorldPre::new(instance())?)
            }
            (World::Skill, true) => Self::Previous(world, Previous::tools(instance())?),
            (World::Provider, true) => Self::Previous(world, Previous::models(instance())?),
        })
    }
}

impl Completion {
    /// Waits for the next chunk.
    pub(crate) async fn next(
        &self,
        store: &mut Store<CallState>,
    ) -> wasmtime::Result<Result<Option<models::Chunk>, models::Error>> {
        match self {
            Self::Current(provider, completion) => {
                provider.moxxy_plugin_models().completion().call_next(store, *completion).await
            }
            Self::Previous(completion) => completion.next(store).await,
        }
    }
}
