//! OpenAPI document, against which every answer in the tests is checked.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock},
};

use jsonschema::Validator;
use serde_json::{Value, json};

/// Operation of the document.
pub(crate) struct Operation {
    pub method: String,
    pub template: String,
    pub document: Value,
}

pub(crate) fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(moxxy_server::http::document)
}

pub(crate) fn operations() -> Vec<Operation> {
    let mut all = Vec::new();
    for (template, item) in document()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push(Operation { method: method.clone(), template: template.clone(), document: operation.clone() });
        }
    }
    all
}

/// Resolves a reference.
pub(crate) fn resolved(value: &Value) -> &Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => document().pointer(reference.strip_prefix('#').unwrap()).expect(reference),
        None => value,
    }
}

impl Operation {
    pub(crate) fn id(&self) -> &str {
        self.document["operationId"].as_str().unwrap()
    }

    /// Returns the scope that the operation needs, if any.
    pub(crate) fn scope(&self) -> Option<&str> {
        self.document["security"].as_array().unwrap().iter().find_map(|one| one["token"][0].as_str())
    }

    /// Returns the path, with names and IDs in place of its parameters.
    pub(crate) fn path(&self) -> String {
        let filled = self.template.replace("{name}", "nobody").replace("{skill_id}", "none");
        let ids = [
            ("run", "run"),
            ("token", "tok"),
            ("secret", "sec"),
            ("grant", "grt"),
            ("question", "ask"),
            ("job", "job"),
            ("installation", "ins"),
            ("session", "ses"),
            ("response", "resp"),
        ];
        ids.into_iter().fold(filled.replace("{provider_id}", "none"), |filled, (name, prefix)| {
            filled.replace(&format!("{{{name}_id}}"), &format!("{prefix}_{}", uuid()))
        })
    }

    pub(crate) fn parameters(&self) -> Vec<&Value> {
        self.document["parameters"].as_array().map(|all| all.iter().map(resolved).collect()).unwrap_or_default()
    }

    pub(crate) fn example(&self) -> Option<&Value> {
        self.document.pointer("/requestBody/content/application~1json/example")
    }
}

fn uuid() -> &'static str {
    "019b7c5e-8f00-7000-8000-000000000001"
}

/// Fails the test if the document lacks the status or the body of an answer.
pub(crate) fn check(method: &str, path: &str, status: u16, body: &Value) {
    let Some(template) = template(path) else { return };
    let Some(operation) = document()["paths"][template].get(method) else { return };
    let response = &operation["responses"][status.to_string()];
    assert!(!response.is_null(), "{method} {template} answers {status}, which its document does not know: {body}");
    let Some(schema) = resolved(response).pointer("/content/application~1json/schema") else { return };
    let key = format!("{method} {template} {status}");
    let known = validators().lock().unwrap().get(&key).cloned();
    let validator = known.unwrap_or_else(|| Arc::new(validator(schema)));
    validators().lock().unwrap().insert(key, Arc::clone(&validator));
    if let Err(error) = validator.validate(body) {
        panic!("{method} {template} answers {status} with what its schema does not allow: {error}: {body}");
    }
}

/// Returns a validator of a schema of the document.
pub(crate) fn validator(schema: &Value) -> Validator {
    let mut whole = schema.clone();
    whole["components"] = document()["components"].clone();
    whole["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    jsonschema::validator_for(&whole).unwrap()
}

fn validators() -> &'static Mutex<HashMap<String, Arc<Validator>>> {
    static VALIDATORS: OnceLock<Mutex<HashMap<String, Arc<Validator>>>> = OnceLock::new();
    VALIDATORS.get_or_init(Mutex::default)
}

/// Returns the template of a path: the one with the fewest parameters.
fn template(path: &str) -> Option<&'static str> {
    let matches = |template: &&String| {
        let (wanted, given) = (template.split('/'), path.split('/'));
        wanted.clone().count() == given.clone().count()
            && wanted.zip(given).all(|(wanted, given)| wanted.starts_with('{') || wanted == given)
    };
    let known = document()["paths"].as_object().unwrap().keys();
    known.filter(matches).min_by_key(|template| template.matches('{').count()).map(String::as_str)
}
