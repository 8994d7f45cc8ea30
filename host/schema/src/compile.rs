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
const MAX_SHOWN_CHARS: usize = 80;
/// Maximum number of names or values that a message lists.
const MAX_LISTED: usize = 12;
/// Keywords that are not evaluated.
const UNSUPPORTED_KEYWORDS: [&str; 5] =
    ["unevaluatedProperties", "unevaluatedItems", "dependentSchemas", "dependencies", "$dynamicRef"];

/// Compiled schema.
#[derive(Debug)]
pub struct Schema {
    /// The first node is the whole schema.
    nodes: Vec<Node>,
}

/// Index of a schema in the nodes of the whole one.
pub(crate) type NodeId = usize;

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
    Unsupported,
    Const(Value, String),
    Enum(Vec<Value>, String),
    Object(Box<ObjectRules>),
    Array(Box<ArrayRules>),
    Text(Box<StringRules>),
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
pub(crate) type Bounds = (Option<f64>, Option<f64>);

#[derive(Debug)]
pub struct ObjectRules {
    pub required: Vec<String>,
    pub properties: BTreeMap<String, NodeId>,
    pub patterns: Vec<(Option<Arc<Pattern>>, NodeId)>,
    pub rest: Option<NodeId>,
    /// Names of the properties, for messages.
    pub property_list: String,
    pub name_schema: Option<NodeId>,
    pub size: Bounds,
    pub dependent_required: Vec<(String, Vec<String>)>,
}

#[derive(Debug)]
pub struct ArrayRules {
    pub prefix: Vec<NodeId>,
    pub rest: Option<NodeId>,
    pub size: Bounds,
    pub unique: bool,
    pub contains: Option<(NodeId, Bounds)>,
}

#[derive(Debug)]
pub struct StringRules {
    pub size: Bounds,
    /// With its text for messages.
    pub pattern: Option<(Option<Arc<Pattern>>, String)>,
}

impl Schema {
    /// Compiles a schema. `patterns` are shared by the schemas of its component.
    pub fn new(root: &Value, patterns: &mut Patterns) -> Self {
        let mut compiler =
            Compiler { root, patterns, node_ids: HashMap::new(), work_list: Vec::new(), nodes: Vec::new() };
        compiler.node(root);
        // Uses a work list instead of recursion, because references can form chains of any length.
        while let Some((id, schema)) = compiler.work_list.pop() {
            let compiled = compiler.compile(schema);
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
    node_ids: HashMap<*const Value, NodeId>,
    work_list: Vec<(NodeId, &'s Value)>,
    nodes: Vec<Node>,
}

impl<'s> Compiler<'s, '_> {
    fn node(&mut self, schema: &'s Value) -> NodeId {
        let id = *self.node_ids.entry(std::ptr::from_ref(schema)).or_insert(self.nodes.len());
        if id == self.nodes.len() {
            self.nodes.push(Node::Anything);
            self.work_list.push((id, schema));
        }
        id
    }

    fn subschema(&mut self, schema: &'s Map<String, Value>, keyword: &str) -> Option<NodeId> {
        schema.get(keyword).map(|schema| self.node(schema))
    }

    fn subschemas(&mut self, schema: &'s Map<String, Value>, keyword: &str) -> Option<Vec<NodeId>> {
        let list = schema.get(keyword)?.as_array()?;
        Some(list.iter().map(|schema| self.node(schema)).collect())
    }

    fn compile(&mut self, schema: &'s Value) -> Node {
        let schema = match schema {
            Value::Object(schema) => schema,
            Value::Bool(false) => return Node::Nothing,
            _ => return Node::Anything,
        };
        let mut rules = Vec::new();
        rules.extend(schema.get("type").and_then(parse_types).map(Rule::Type));
        if UNSUPPORTED_KEYWORDS.iter().any(|keyword| schema.contains_key(*keyword)) {
            rules.push(Rule::Unsupported);
        }
        rules.extend(schema.get("const").map(|value| Rule::Const(value.clone(), truncated_json(value))));
        if let Some(Value::Array(values)) = schema.get("enum") {
            rules.push(Rule::Enum(values.clone(), join_truncated(values.iter().map(truncated_json))));
        }
        rules.extend(self.object_rule(schema));
        rules.extend(self.array_rule(schema));
        rules.extend(self.string_rule(schema));
        rules.extend(number_rule(schema));
        if let Some(Value::String(reference)) = schema.get("$ref") {
            let target = resolve_reference(self.root, reference);
            rules.push(Rule::Ref(target.map(|target| self.node(target))));
        }
        rules.extend(self.subschemas(schema, "allOf").map(Rule::AllOf));
        rules.extend(self.subschemas(schema, "anyOf").map(Rule::AnyOf));
        rules.extend(self.subschemas(schema, "oneOf").map(Rule::OneOf));
        rules.extend(self.subschema(schema, "not").map(Rule::Not));
        if let Some(condition) = self.subschema(schema, "if") {
            rules.push(Rule::If(condition, self.subschema(schema, "then"), self.subschema(schema, "else")));
        }
        if rules.is_empty() { Node::Anything } else { Node::Rules(rules) }
    }

    fn object_rule(&mut self, schema: &'s Map<String, Value>) -> Option<Rule> {
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
        let dependent_required =
            named("dependentRequired").map(|(name, needed)| (name.clone(), strings(needed))).collect();
        Some(Rule::Object(Box::new(ObjectRules {
            required: schema.get("required").map(strings).unwrap_or_default(),
            property_list: join_truncated(properties.keys().map(|name| format!("`{}`", truncate(name)))),
            properties,
            patterns,
            rest: self.subschema(schema, "additionalProperties"),
            name_schema: self.subschema(schema, "propertyNames"),
            size,
            dependent_required,
        })))
    }

    fn array_rule(&mut self, schema: &'s Map<String, Value>) -> Option<Rule> {
        let (prefix, rest) = match self.subschemas(schema, "items") {
            Some(prefix) => (prefix, self.subschema(schema, "additionalItems")),
            None => (self.subschemas(schema, "prefixItems").unwrap_or_default(), self.subschema(schema, "items")),
        };
        let size = bounds(schema, "minItems", "maxItems");
        let unique = schema.get("uniqueItems") == Some(&Value::Bool(true));
        let contains =
            self.subschema(schema, "contains").map(|node| (node, bounds(schema, "minContains", "maxContains")));
        let has_rule = !prefix.is_empty() || rest.is_some() || size != (None, None) || unique || contains.is_some();
        has_rule.then(|| Rule::Array(Box::new(ArrayRules { prefix, rest, size, unique, contains })))
    }

    fn string_rule(&mut self, schema: &Map<String, Value>) -> Option<Rule> {
        let size = bounds(schema, "minLength", "maxLength");
        let pattern = schema.get("pattern").and_then(Value::as_str);
        let pattern = pattern.map(|text| (self.patterns.get(text), text.chars().take(200).collect()));
        let has_rule = size != (None, None) || pattern.is_some();
        has_rule.then(|| Rule::Text(Box::new(StringRules { size, pattern })))
    }
}

fn number_rule(schema: &Map<String, Value>) -> Option<Rule> {
    let bound = |bound: Bound| match schema.get(bound.keyword()) {
        Some(Value::Number(number)) => Some((bound, number.clone())),
        _ => None,
    };
    let bounds: Vec<_> = Bound::ALL.into_iter().filter_map(bound).collect();
    let multiple = schema.get("multipleOf").and_then(Value::as_f64).filter(|factor| *factor > 0.0);
    (!bounds.is_empty() || multiple.is_some()).then_some(Rule::Number(bounds, multiple))
}

/// Returns the target of a reference within a schema.
pub(crate) fn resolve_reference<'s>(root: &'s Value, reference: &str) -> Option<&'s Value> {
    let pointer = percent_decode_str(reference.strip_prefix('#')?).decode_utf8().ok()?;
    root.pointer(&pointer)
}

/// Returns the named types, or `None` if the keyword is malformed or names an unknown type: then every value is
/// allowed.
fn parse_types(types: &Value) -> Option<Vec<&'static str>> {
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

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn bounds(schema: &Map<String, Value>, min_keyword: &str, max_keyword: &str) -> Bounds {
    let bound = |keyword| schema.get(keyword).and_then(Value::as_f64);
    (bound(min_keyword), bound(max_keyword))
}

fn truncated_json(value: &Value) -> String {
    let text = value.to_string();
    let truncated = truncate(&text);
    if truncated.len() < text.len() { format!("{truncated}…") } else { text }
}

pub(crate) fn truncate(text: &str) -> String {
    text.chars().take(MAX_SHOWN_CHARS).collect()
}

fn join_truncated(mut names: impl Iterator<Item = String>) -> String {
    let listed: Vec<_> = names.by_ref().take(MAX_LISTED).collect();
    let more = names.next().map_or("", |_| ", …");
    format!("{}{more}", listed.join(", "))
}
