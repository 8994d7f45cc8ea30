//! Validation against the schemas of components. Values and schemas are untrusted, so this runs on separate
//! threads of lower priority: never on the server's threads, and never during a database transaction.

use std::{collections::HashMap, sync::Arc};

use moxxy_schema::{Mismatch, Patterns, Schema, check, coerce};
use moxxy_system::json;
use moxxy_types::{
    components::{Description, Manifest},
    digest::Digest,
    error::Result,
};
use serde_json::Value;

use super::Plugins;

/// Schemas of a component's tools, by tool name.
pub(crate) type ToolSchemas = HashMap<String, Schema>;

impl Plugins {
    /// Returns a tool's arguments, corrected where they have one meaning, and their mismatches with its schema. Reports no mismatches if the component
    /// cannot be loaded: the call itself returns that error.
    pub async fn check_arguments(
        &self,
        digest: &Digest,
        tool: &str,
        mut arguments: Value,
    ) -> Result<(Value, Vec<Mismatch>)> {
        let Ok(prepared) = self.prepared(digest).await else { return Ok((arguments, Vec::new())) };
        let (schemas, tool) = (Arc::clone(&prepared.schemas), tool.to_owned());
        self.spawn_on_schema_threads(move || {
            if let Some(known) = prepared.description.tools.iter().find(|known| known.name == tool) {
                coerce(&mut arguments, &known.parameters);
            }
            let mismatches = schemas.get(&tool).map(|schema| schema.mismatches(&arguments)).unwrap_or_default();
            (arguments, mismatches)
        })
        .await
    }

    /// Like [`check_arguments`](Self::check_arguments), for a tool of the host with these parameters.
    pub async fn check_host_arguments(
        &self,
        parameters: Value,
        mut arguments: Value,
    ) -> Result<(Value, Vec<Mismatch>)> {
        self.spawn_on_schema_threads(move || {
            coerce(&mut arguments, &parameters);
            let mismatches = Schema::new(&parameters, &mut Patterns::default()).mismatches(&arguments);
            (arguments, mismatches)
        })
        .await
    }

    /// Returns the mismatches of a configuration with the component's schema.
    pub async fn check_config(&self, manifest: &Manifest, config: Value) -> Result<Vec<Mismatch>> {
        let Some(schema) = manifest.config_schema.clone() else { return Ok(Vec::new()) };
        self.spawn_on_schema_threads(move || Schema::new(&schema, &mut Patterns::default()).mismatches(&config)).await
    }

    /// Validates a schema. The inner error tells what is wrong and where.
    pub async fn check_schema(&self, schema: Value) -> Result<Result<(), String>> {
        self.spawn_on_schema_threads(move || check(&schema)).await
    }

    /// Parses a text as JSON that fits a schema. The inner error tells where it does not.
    pub async fn parse_json(&self, schema: Value, text: String) -> Result<Result<Value, Vec<Mismatch>>> {
        self.spawn_on_schema_threads(move || {
            let whole = |reason: String| vec![Mismatch { place: String::new(), reason }];
            let (depth, values) = json::shape(text.as_bytes());
            if depth > json::MAX_DEPTH || values > json::MAX_VALUES {
                let (depth, values) = (json::MAX_DEPTH, json::MAX_VALUES);
                return Err(whole(format!("it has more than {values} values, or nests more than {depth} levels deep")));
            }
            let value = serde_json::from_str(&text).map_err(|error| whole(format!("it is not JSON: {error}")))?;
            let mismatches = Schema::new(&schema, &mut Patterns::default()).mismatches(&value);
            if mismatches.is_empty() { Ok(value) } else { Err(mismatches) }
        })
        .await
    }

    pub(super) async fn compile_schemas(&self, description: &Arc<Description>) -> Result<ToolSchemas> {
        let description = Arc::clone(description);
        self.spawn_on_schema_threads(move || {
            let mut patterns = Patterns::default();
            let compiled = |tool: &moxxy_types::components::Tool| {
                (tool.name.clone(), Schema::new(&tool.parameters, &mut patterns))
            };
            description.tools.iter().map(compiled).collect()
        })
        .await
    }

    /// Runs work on the schema threads, as many at once as there are threads. Other work waits in order.
    async fn spawn_on_schema_threads<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        self.schemas.spawn(async move { work() }).await
    }
}
