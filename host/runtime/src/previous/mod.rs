//! Components that were built for the previous version of the interfaces, 0.1. Their imports are those of the current
//! version under the previous name, and what they export is converted.

mod bindings;
mod convert;
mod imports;

use wasmtime::{
    Store,
    component::{InstancePre, ResourceAny},
};

use bindings::{
    models::{ModelsWorld, ModelsWorldPre},
    tools::ToolsWorldPre,
};

use crate::{
    bindings::{
        models::exports::moxxy::plugin::models, plugin::exports::moxxy::plugin::plugin,
        tools::exports::moxxy::plugin::tools,
    },
    state::CallState,
};

pub(crate) use imports::add_to_linker;

/// A component of the previous version.
#[derive(Clone)]
pub(crate) enum Previous {
    Tools(ToolsWorldPre<CallState>),
    Models(ModelsWorldPre<CallState>),
}

/// A running completion.
pub(crate) struct Completion {
    provider: ModelsWorld,
    completion: ResourceAny,
}

impl Previous {
    pub(crate) fn tools(instance: InstancePre<CallState>) -> wasmtime::Result<Self> {
        ToolsWorldPre::new(instance).map(Self::Tools)
    }

    pub(crate) fn models(instance: InstancePre<CallState>) -> wasmtime::Result<Self> {
        ModelsWorldPre::new(instance).map(Self::Models)
    }

    pub(crate) async fn manifest(&self, store: &mut Store<CallState>) -> wasmtime::Result<plugin::Manifest> {
        let manifest = match self {
            Self::Tools(pre) => {
                let instance = pre.instantiate_async(&mut *store).await?;
                convert::tools_manifest(instance.moxxy_plugin_plugin().call_get_manifest(store).await?)
            }
            Self::Models(pre) => {
                let instance = pre.instantiate_async(&mut *store).await?;
                convert::models_manifest(instance.moxxy_plugin_plugin().call_get_manifest(store).await?)
            }
        };
        Ok(manifest)
    }

    pub(crate) async fn list_tools(&self, store: &mut Store<CallState>) -> wasmtime::Result<Vec<tools::Tool>> {
        let Self::Tools(pre) = self else { return Ok(Vec::new()) };
        let skill = pre.instantiate_async(&mut *store).await?;
        let tools = skill.moxxy_plugin_tools().call_list_tools(store).await?;
        Ok(tools.into_iter().map(convert::tool).collect())
    }

    pub(crate) async fn call_tool(
        &self,
        store: &mut Store<CallState>,
        tool: &str,
        arguments: &str,
    ) -> wasmtime::Result<Result<tools::Output, tools::Error>> {
        let Self::Tools(pre) = self else { wasmtime::bail!("the component has no tools") };
        let skill = pre.instantiate_async(&mut *store).await?;
        let result = skill.moxxy_plugin_tools().call_call(store, tool, arguments).await?;
        Ok(result.map(convert::output).map_err(convert::tool_error))
    }

    pub(crate) async fn list_models(
        &self,
        store: &mut Store<CallState>,
    ) -> wasmtime::Result<Result<Vec<models::Model>, models::Error>> {
        let Self::Models(pre) = self else { wasmtime::bail!("the component has no models") };
        let provider = pre.instantiate_async(&mut *store).await?;
        let listed = provider.moxxy_plugin_models().call_list_models(store).await?;
        Ok(listed.map(|models| models.into_iter().map(convert::model).collect()).map_err(convert::error))
    }

    pub(crate) async fn complete(
        &self,
        store: &mut Store<CallState>,
        request: &models::Request,
    ) -> wasmtime::Result<Result<Completion, models::Error>> {
        let Self::Models(pre) = self else { wasmtime::bail!("the component has no models") };
        let provider = pre.instantiate_async(&mut *store).await?;
        let started = provider.moxxy_plugin_models().call_complete(store, &convert::request(request)).await?;
        Ok(started.map(|completion| Completion { provider, completion }).map_err(convert::error))
    }
}

impl Completion {
    pub(crate) async fn next(
        &self,
        store: &mut Store<CallState>,
    ) -> wasmtime::Result<Result<Option<models::Chunk>, models::Error>> {
        let next = self.provider.moxxy_plugin_models().completion().call_next(store, self.completion).await?;
        Ok(next.map(|chunk| chunk.map(convert::chunk)).map_err(convert::error))
    }
}
