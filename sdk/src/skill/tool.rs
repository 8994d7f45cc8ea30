//! A tool: what the model is told of it, and what is called.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Error, Output};
use crate::bindings::tools::exports::moxxy::plugin::tools;

/// What the author says of a tool's effects. It gives the tool nothing: the operator's policy
/// decides what may be called, and what may be called again.
///
/// ```
/// /// Reads the draft.
/// #[moxxy_sdk::tool(read_only)]
/// fn read() -> String {
///     String::new()
/// }
/// # use moxxy_sdk::skill::ToolFunction;
/// # assert!(read::definition().hints.read_only);
/// ```
pub use tools::Hints;

/// A tool as the model is shown it. The attribute [`tool`](crate::tool) writes it by itself.
///
/// ```
/// use moxxy_sdk::skill::Tool;
/// use serde_json::json;
///
/// let tool = Tool::new("flip", "Flips a coin.", json!({ "type": "object" })).read_only();
/// assert!(tool.hints.read_only);
/// ```
pub use tools::Tool;

/// What the attribute [`tool`](crate::tool) makes of a function: a type of the function's name.
///
/// ```
/// use moxxy_sdk::skill::ToolFunction;
///
/// /// Shouts.
/// #[moxxy_sdk::tool]
/// fn shout(text: String) -> String {
///     text.to_uppercase()
/// }
///
/// assert_eq!(shout::NAME, "shout");
/// assert_eq!(shout::call(serde_json::json!({ "text": "hey" })).unwrap().content, "HEY");
/// ```
pub trait ToolFunction {
    /// The tool's name.
    const NAME: &'static str;

    /// The tool as the model is shown it.
    fn definition() -> Tool;

    /// Calls the function.
    ///
    /// # Errors
    ///
    /// The function's own, and [`Error::Invalid`] for arguments that it does not take.
    fn call(arguments: Value) -> Result<Output, Error>;
}

/// Reads a tool's arguments into a type.
///
/// ```
/// #[derive(serde::Deserialize)]
/// struct Greet {
///     name: String,
/// }
///
/// let wrong = moxxy_sdk::skill::arguments::<Greet>(serde_json::json!({ "name": 5 })).map(|greet| greet.name);
/// assert_eq!(wrong.unwrap_err().to_string(), "`name`: invalid type: integer `5`, expected a string");
/// ```
///
/// # Errors
///
/// [`Error::Invalid`] that says what is missing or wrong, and where.
pub fn arguments<T: DeserializeOwned>(arguments: Value) -> Result<T, Error> {
    if !arguments.is_object() {
        return Err(Error::invalid("the arguments are not a JSON object"));
    }
    serde_path_to_error::deserialize(arguments).map_err(|error| match error.path().to_string().as_str() {
        "." => Error::invalid(error.inner()),
        path => Error::invalid(format!("`{path}`: {}", error.inner())),
    })
}

/// The JSON Schema (draft 2020-12) of a type, as models are shown it: in one piece, without titles
/// of types.
///
/// ```
/// #[derive(schemars::JsonSchema)]
/// struct Greet {
///     /// Whom to greet.
///     name: String,
/// }
///
/// let schema = moxxy_sdk::skill::schema::<Greet>();
/// assert_eq!(schema["properties"]["name"]["description"], "Whom to greet.");
/// assert_eq!(schema["required"], serde_json::json!(["name"]));
/// ```
///
/// A field of an `Option` is a property that may be absent; its type does not name `null`.
pub fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    optional_by_absence(schema.as_object_mut());
    // Services want to see the properties, also where there are none.
    if let Some(object) = schema.as_object_mut() {
        object.entry("properties").or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    schema.to_value()
}

/// Removes `null` from the types of properties that may be absent, because some services take one type only.
fn optional_by_absence(object: Option<&mut serde_json::Map<String, Value>>) {
    let Some(object) = object else { return };
    let required = object.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        for (name, property) in properties {
            let Value::Object(rules) = property else { continue };
            if !required.iter().any(|known| known == name) {
                without_null(rules);
            }
            optional_by_absence(Some(rules));
        }
    }
    if let Some(Value::Object(items)) = object.get_mut("items") {
        optional_by_absence(Some(items));
    }
}

fn without_null(rules: &mut serde_json::Map<String, Value>) {
    if let Some(Value::Array(types)) = rules.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = &**types {
            let only = only.clone();
            rules.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(alternatives)) = rules.get_mut("anyOf") {
        alternatives.retain(|alternative| alternative.get("type").is_none_or(|kind| kind != "null"));
        if let [Value::Object(only)] = &**alternatives {
            let only = only.clone();
            rules.remove("anyOf");
            for (name, value) in only {
                rules.entry(name).or_insert(value);
            }
        }
    }
    if let Some(Value::Array(values)) = rules.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if rules.get("default").is_some_and(Value::is_null) {
        rules.remove("default");
    }
}

impl Tool {
    /// A tool without hints. The description is written for the model: what it does and when to
    /// use it. The parameters are the arguments' JSON Schema, of type `object`.
    ///
    /// ```
    /// let tool = moxxy_sdk::skill::Tool::new("flip", "Flips a coin.", serde_json::json!({ "type": "object" }));
    /// ```
    pub fn new(name: impl Into<String>, description: impl Into<String>, parameters: Value) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            parameters: parameters.to_string(),
            hints: Hints { read_only: false, idempotent: false, requires_approval: false },
        }
    }

    /// Says that a call changes nothing anywhere.
    ///
    /// ```
    /// # let tool = moxxy_sdk::skill::Tool::new("flip", "Flips a coin.", serde_json::json!({ "type": "object" }));
    /// assert!(tool.read_only().hints.read_only);
    /// ```
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.hints.read_only = true;
        self
    }

    /// Says that two calls with equal arguments have the effect of one.
    ///
    /// ```
    /// # let tool = moxxy_sdk::skill::Tool::new("flip", "Flips a coin.", serde_json::json!({ "type": "object" }));
    /// assert!(tool.idempotent().hints.idempotent);
    /// ```
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.hints.idempotent = true;
        self
    }

    /// Says that a person should agree before each call.
    ///
    /// ```
    /// # let tool = moxxy_sdk::skill::Tool::new("flip", "Flips a coin.", serde_json::json!({ "type": "object" }));
    /// assert!(tool.requires_approval().hints.requires_approval);
    /// ```
    #[must_use]
    pub fn requires_approval(mut self) -> Self {
        self.hints.requires_approval = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::ToolFunction;

    /// Does something that takes
    /// two lines to say.
    ///
    /// 1. First this,
    /// 2. then that:
    ///    - so, or
    ///    - otherwise.
    #[crate::tool(name = "do-it", requires_approval)]
    fn flowing() {}

    #[test]
    fn a_description_keeps_its_paragraphs_and_lists() {
        let tool = flowing::definition();
        let text = "Does something that takes two lines to say.\n\n1. First this,\n2. then that:\n   - so, or\n   - otherwise.";
        assert_eq!((&*tool.name, &*tool.description), ("do-it", text));
        assert_eq!(tool.parameters, r#"{"additionalProperties":false,"properties":{},"type":"object"}"#);
    }
}
