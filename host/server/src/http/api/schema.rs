//! Types of bodies with their JSON schemas and examples.

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Request body, with an example.
pub(crate) trait RequestBody: DeserializeOwned + JsonSchema {
    fn example() -> Value;
}

/// Response body, with an example.
pub(crate) trait ResponseBody: Serialize + JsonSchema {
    fn example() -> Value;
}

/// Returns the schema of a request type, with its subschemas inlined.
pub(crate) fn inline<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    SchemaGenerator::new(settings.for_deserialize()).into_root_schema_for::<T>()
}
