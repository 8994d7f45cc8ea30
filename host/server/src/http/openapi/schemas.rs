//! JSON schemas of requests and responses, simplified for client generators.

use aide::generate::GenContext;
use schemars::{Schema, SchemaGenerator, generate::SchemaSettings, transform::transform_subschemas};
use serde_json::{Map, Value, json};

use crate::http::api::schema::{RequestBody, inline};

/// Returns the settings for JSON Schema 2020-12, on which OpenAPI 3.1 is based.
fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = "/components/schemas".into())
}

/// Generates schemas of responses from here on.
pub(super) fn begin() {
    aide::generate::in_context(|ctx| ctx.schema = SchemaGenerator::new(settings().for_serialize()));
}

/// Adds the schema of a request body as a component of the document, and returns a reference to it.
pub(super) fn request<T: RequestBody>(ctx: &mut GenContext) -> Schema {
    let mut schema = inline::<T>();
    transform_subschemas(&mut without_default, &mut schema);
    define(ctx, &T::schema_name(), schema)
}

/// Adds a schema as a component of the document, and returns a reference to it.
pub(super) fn define(ctx: &mut GenContext, name: &str, schema: Schema) -> Schema {
    ctx.schema.definitions_mut().insert(name.to_owned(), schema.to_value());
    Schema::new_ref(format!("#/components/schemas/{name}"))
}

/// Removes defaults, so that clients need not send a field that they may omit.
fn without_default(schema: &mut Schema) {
    schema.remove("default");
    transform_subschemas(&mut without_default, schema);
}

/// Rewrites schemas for client generators: `{}` for any value, and one `enum` for several constants, which the
/// description then explains.
pub(super) fn simplify(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for key in ["properties", "patternProperties"] {
                let schemas = fields.get_mut(key).and_then(Value::as_object_mut);
                schemas.into_iter().flat_map(Map::values_mut).for_each(anything);
            }
            for key in ["items", "schema"] {
                fields.get_mut(key).into_iter().for_each(anything);
            }
            if fields.get("type") == Some(&json!("array")) {
                fields.entry("items").or_insert_with(|| json!({}));
            }
            let explained = fields.get("oneOf").and_then(Value::as_array).map(|all| explained(all)).unwrap_or_default();
            if let Some(constants) = fields.get("oneOf").and_then(constants) {
                let about = fields.get("description").and_then(Value::as_str).unwrap_or_default();
                let about = [about, &*explained].join("\n\n").trim().to_owned();
                fields.insert("description".into(), about.into());
                fields.remove("oneOf");
                fields.insert("type".into(), "string".into());
                fields.insert("enum".into(), constants.into());
            }
            if let Some(constant) = fields.remove("const") {
                fields.insert("enum".into(), json!([constant]));
            }
            fields.values_mut().for_each(simplify);
        }
        Value::Array(items) => items.iter_mut().for_each(simplify),
        _ => {}
    }
}

fn anything(schema: &mut Value) {
    if schema.as_bool() == Some(true) {
        *schema = json!({});
    }
}

/// Returns a list of the constants that have a description, with their descriptions.
fn explained(branches: &[Value]) -> String {
    let explain = |branch: &Value| {
        Some(format!("- `{}`: {}", branch.get("const")?.as_str()?, branch.get("description")?.as_str()?))
    };
    branches.iter().filter_map(explain).collect::<Vec<_>>().join("\n")
}

/// Returns all constants that the branches allow, or `None` if they allow anything else.
fn constants(branches: &Value) -> Option<Vec<Value>> {
    let mut all = Vec::new();
    for branch in branches.as_array()? {
        match (branch.get("const"), branch.get("enum")) {
            (Some(constant), _) => all.push(constant.clone()),
            (None, Some(Value::Array(constants))) => all.extend(constants.iter().cloned()),
            _ => return None,
        }
    }
    Some(all)
}
