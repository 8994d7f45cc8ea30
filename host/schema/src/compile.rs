//! Compilation of schemas: resolves references, compiles patterns and reads keywords once instead of in every
//! evaluation.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use percent_encoding::percent_decode_str;
use serde_json::{Map, Number, Value};

use super::{
    check::TYPES,
    kinds::Bound,
    pattern::{Pattern, Patterns},
};

/// Maximum length of a value or a name in a message, in characters.
const SHOWN: usize = 80;
/// Maximum number of names or values that a message lists.
const LISTED: usize = 12;
/// Keywords that are not evaluated.
const UNKNOWN: [&str; 5] =
    ["unevaluatedProperties", "unevaluatedItems", "dependentSchemas", "dependencies", "$dynamicRef"];

/// Compiled schema.
#[derive(Debug)]
pub struct Schema {
    /// The first node is the whole schema.
    nodes: Vec<Node>,
}

/// Index of a schema in the nodes of the whole one.
pub type NodeId = usize;

#[derive(Debug)]
pub enum Node {
    Anything,
    Nothing,
    Rules(Vec<Rule>),
}

#[derive(Debug)]
pub enum Rule {
    /// The value has one of these types. Otherwise, later rules are not evaluated.
    Type(Vec<&'static str>),
    /// A keyword that is not evaluated.
    Unknown,
    Const(Value, String),
    Enum(Vec<Value>, String),
    Object(Box<Fields>),
    Array(Box<Items>),
    Text(Box<Text>),
    Number(Vec<(Bound, Number)>, Option<f64>),
    /// `None` if the target is not in the schema.
    Ref(Option<NodeId>),
    AllOf(Vec<NodeId>),
    AnyOf(Vec<NodeId>),
    OneOf(Vec<NodeId>),
    Not(NodeId),
    If(NodeId, Option<NodeId>, Option<NodeId>),
}

/// Minimum and maximum.
pub type Bounds = (Option<f64>, Option<f64>);

#[derive(Debug)]
pub struct Fields {
    pub required: Vec<String>,
    pub properties: BTreeMap<String, NodeId>,
    pub patterns: Vec<(Option<Arc<Pattern>>, NodeId)>,
    pub rest: Option<NodeId>,
    /// Names of the properties, for messages.
    pub known: String,
    pub names: Option<NodeId>,
    pub size: Bounds,
    pub dependent: Vec<(String, Vec<String>)>,
}

#[derive(Debug)]
pub struct Items {
    pub first: Vec<NodeId>,
    pub rest: Option<NodeId>,
    pub size: Bounds,
    pub unique: bool,
    pub contains: Option<(NodeId, Bounds)>,
}

#[derive(Debug)]
pub struct Text {
    pub size: Bounds,
    /// With its text for messages.
    pub pattern: Option<(Option<Arc<Pattern>>, String)>,
}

impl Schema {
    /// Compiles a schema. `patterns` are shared by the schemas of its component.
    pub fn new(root: &Value, patterns: &mut Patterns) -> Self {
        let mut compiler = Compiler { root, patterns, known: HashMap::new(), waiting: Vec::new(), nodes: Vec::new() };
        compiler.node(root);
        // Uses a work list instead of recursion, because references can form chains of any length.
        while let Some((id, schema)) = compiler.waiting.pop() {
            let compiled = compiler.compiled(schema);
            if let Some(node) = compiler.nodes.get_mut(id) {
                *node = compiled;
            }
        }
        Self { nodes: compiler.nodes }
    }

    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id)
    }
}

struct Compiler<'s, 'p> {
    root: &'s Value,
    patterns: &'p mut Patterns,
    /// By address, so that a schema with several references to it is compiled once.
    known: HashMap<*const Value, NodeId>,
    waiting: Vec<(NodeId, &'s Value)>,
    nodes: Vec<Node>,
}

impl<'s> Compiler<'s, '_> {
    fn node(&mut self, schema: &'s Value) -> NodeId {
        let id = *self.known.entry(std::ptr::from_ref(schema)).or_insert(self.nodes.len());
        if id == self.nodes.len() {
            self.nodes.push(Node::Anything);
            self.waiting.push((id, schema));
        }
        id
    }

    fn one(&mut self, schema: &'s Map<String, Value>, keyword: &str) -> Option<NodeId> {
        schema.get(keyword).map(|schema| self.node(schema))
    }

    fn list(&mut self, schema: &'s Map<String, Value>, keyword: &str) -> Option<Vec<NodeId>> {
        let list = schema.get(keyword)?.as_array()?;
        Some(list.iter().map(|schema| self.node(schema)).collect())
    }

    fn compiled(&mut self, schema: &'s Value) -> Node {
        let schema = match schema {
            Value::Object(schema) => schema,
            Value::Bool(false) => return Node::Nothing,
            _ => return Node::Anything,
        };
        let mut rules = Vec::new();
        rules.extend(schema.get("type").and_then(types).map(Rule::Type));
        if UNKNOWN.iter().any(|keyword| schema.contains_key(*keyword)) {
            rules.push(Rule::Unknown);
        }
        rules.extend(schema.get("const").map(|value| Rule::Const(value.clone(), shown(value))));
        if let Some(Value::Array(values)) = schema.get("enum") {
            rules.push(Rule::Enum(values.clone(), listed(values.iter().map(shown))));
        }
        rules.extend(self.fields(schema));
        rules.extend(self.items(schema));
        rules.extend(self.text(schema));
        rules.extend(numbers(schema));
        if let Some(Value::String(reference)) = schema.get("$ref") {
            let target = target(self.root, reference);
            rules.push(Rule::Ref(target.map(|target| self.node(target))));
        }
        rules.extend(self.list(schema, "allOf").map(Rule::AllOf));
        rules.extend(self.list(schema, "anyOf").map(Rule::AnyOf));
        rules.extend(self.list(schema, "oneOf").map(Rule::OneOf));
        rules.extend(self.one(schema, "not").map(Rule::Not));
        if let Some(condition) = self.one(schema, "if") {
            rules.push(Rule::If(condition, self.one(schema, "then"), self.one(schema, "else")));
        }
        if rules.is_empty() { Node::Anything } else { Node::Rules(rules) }
    }

    fn fields(&mut self, schema: &'s Map<String, Value>) -> Option<Rule> {
        let keywords = [
            "required",
            "properties",
            "patternProperties",
            "additionalProperties",
            "propertyNames",
            "dependentRequired",
        ];
        let size = bounds(schema, "minProperties", "maxProperties");
        if size == (None, None) && !keywords.iter().any(|keyword| schema.contains_key(*keyword)) {
            return None;
        }
        let named = |keyword: &str| schema.get(keyword).and_then(Value::as_object).into_iter().flatten();
        let properties: BTreeMap<_, _> =
            named("properties").map(|(name, schema)| (name.clone(), self.node(schema))).collect();
        let patterns = named("patternProperties")
            .map(|(pattern, schema)| (self.patterns.get(pattern), self.node(schema)))
            .collect();
        let dependent = named("dependentRequired").map(|(name, needed)| (name.clone(), texts(needed))).collect();
        Some(Rule::Object(Box::new(Fields {
            required: schema.get("required").map(texts).unwrap_or_default(),
            known: listed(properties.keys().map(|name| format!("`{}`", short(name)))),
            properties,
            patterns,
            rest: self.one(schema, "additionalProperties"),
            names: self.one(schema, "propertyNames"),
            size,
            dependent,
        })))
    }

    fn items(&mut self, schema: &'s Map<String, Value>) -> Option<Rule> {
        let (first, rest) = match self.list(schema, "items") {
            Some(first) => (first, self.one(schema, "additionalItems")),
            None => (self.list(schema, "prefixItems").unwrap_or_default(), self.one(schema, "items")),
        };
        let size = bounds(schema, "minItems", "maxItems");
        let unique = schema.get("uniqueItems") == Some(&Value::Bool(true));
        let contains = self.one(schema, "contains").map(|node| (node, bounds(schema, "minContains", "maxContains")));
        let any = !first.is_empty() || rest.is_some() || size != (None, None) || unique || contains.is_some();
        any.then(|| Rule::Array(Box::new(Items { first, rest, size, unique, contains })))
    }

    fn text(&mut self, schema: &Map<String, Value>) -> Option<Rule> {
        let size = bounds(schema, "minLength", "maxLength");
        let pattern = schema.get("pattern").and_then(Value::as_str);
        let pattern = pattern.map(|text| (self.patterns.get(text), text.chars().take(200).collect()));
        let any = size != (None, None) || pattern.is_some();
        any.then(|| Rule::Text(Box::new(Text { size, pattern })))
    }
}

fn numbers(schema: &Map<String, Value>) -> Option<Rule> {
    let bound = |bound: Bound| match schema.get(bound.keyword()) {
        Some(Value::Number(number)) => Some((bound, number.clone())),
        _ => None,
    };
    let bounds: Vec<_> = Bound::ALL.into_iter().filter_map(bound).collect();
    let multiple = schema.get("multipleOf").and_then(Value::as_f64).filter(|of| *of > 0.0);
    (!bounds.is_empty() || multiple.is_some()).then_some(Rule::Number(bounds, multiple))
}

/// Returns the target of a reference within a schema.
pub fn target<'s>(root: &'s Value, reference: &str) -> Option<&'s Value> {
    let pointer = percent_decode_str(reference.strip_prefix('#')?).decode_utf8().ok()?;
    root.pointer(&pointer)
}

/// Returns the named types, or `None` if the keyword is malformed or names an unknown type: then every value is
/// allowed.
fn types(types: &Value) -> Option<Vec<&'static str>> {
    let named: Vec<_> = match types {
        Value::String(name) => vec![name.as_str()],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let mut known = Vec::new();
    for name in named {
        let name = *TYPES.iter().find(|known| **known == name)?;
        if !known.contains(&name) {
            known.push(name);
        }
    }
    Some(known)
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn bounds(schema: &Map<String, Value>, least: &str, most: &str) -> Bounds {
    let bound = |keyword| schema.get(keyword).and_then(Value::as_f64);
    (bound(least), bound(most))
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    let shown = short(&text);
    if shown.len() < text.len() { format!("{shown}…") } else { text }
}

pub fn short(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

fn listed(mut names: impl Iterator<Item = String>) -> String {
    let shown: Vec<_> = names.by_ref().take(LISTED).collect();
    let more = names.next().map_or("", |_| ", …");
    format!("{}{more}", shown.join(", "))
}
