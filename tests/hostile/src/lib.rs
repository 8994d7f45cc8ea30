//! Components that misbehave on purpose: one file each under `examples/`.
//!
//! What is here is what they have in common: the parts that are in order.

use moxxy_sdk::skill::{Error, Manifest, Output, Tool};
use serde_json::{Map, Value, json};

/// A manifest that asks for nothing.
pub fn manifest(name: &str) -> Manifest {
    Manifest::new(name, env!("CARGO_PKG_VERSION"), "Misbehaves on purpose.")
}

/// A tool without arguments.
pub fn tool(name: &str) -> Tool {
    Tool::new(name, "Does nothing.", json!({ "type": "object" }))
}

/// What a tool answers that does nothing.
pub fn nothing() -> Result<Output, Error> {
    Ok(Output::text("nothing"))
}

/// A schema whose properties take as long as possible to hold a value against, each in its own way.
pub fn slow_schema() -> Value {
    let long = "a".repeat(9000);
    let mut definitions = Map::from_iter([(long.clone(), json!({ "type": "integer" }))]);
    let properties = [
        ("references", json!({ "items": { "$ref": format!("#/$defs/{}", "%61".repeat(long.len())) } })),
        ("constant", json!({ "items": { "const": "\n".repeat(7000) } })),
        ("pattern", json!({ "pattern": "^[ab]*a[ab]{3500}[^ab]" })),
        ("names", json!({ "propertyNames": { "pattern": "^[ab]*a[ab]{3000}[^ab]" } })),
    ];
    let mut properties = Map::from_iter(properties.map(|(name, schema)| (name.to_owned(), schema)));
    let leaves = [
        ("fields", json!({ "properties": { "z": {} } })),
        ("items", json!({ "prefixItems": [true] })),
        ("unique", json!({ "uniqueItems": true })),
        ("contains", json!({ "contains": true, "minContains": 0 })),
    ];
    for (name, leaf) in leaves {
        properties.insert(name.to_owned(), twice(name, 0));
        // Each is asked for 2¹⁶ times.
        definitions.extend((0..15).map(|level| (format!("{name}{level}"), twice(name, level + 1))));
        definitions.insert(format!("{name}15"), leaf);
    }
    json!({ "type": "object", "properties": properties, "$defs": definitions })
}

fn twice(name: &str, level: usize) -> Value {
    let reference = json!({ "$ref": format!("#/$defs/{name}{level}") });
    json!({ "allOf": [reference, reference] })
}

/// Uses more and more memory.
pub fn bomb() -> ! {
    let mut memory = Vec::new();
    loop {
        memory.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}

/// Never comes back.
pub fn spin() -> ! {
    loop {
        // Without it the compiler might see that nothing happens here.
        std::hint::black_box(());
    }
}

/// The size of the linear memory, in bytes.
#[cfg(target_arch = "wasm32")]
fn memory() -> usize {
    core::arch::wasm32::memory_size(0) << 16
}

#[cfg(not(target_arch = "wasm32"))]
fn memory() -> usize {
    0
}

/// Whether the two stand together anywhere in the linear memory.
#[allow(unsafe_code, reason = "there is no other way to read all of the memory")]
pub fn stands_in_memory(one: &[u8], other: &[u8]) -> bool {
    let begins = |at: usize, text: &[u8]| {
        text.iter().enumerate().all(|(i, byte)| {
            // SAFETY: it lies below the end of the memory.
            let found = unsafe { core::ptr::read_volatile((at + i) as *const u8) };
            found == *byte
        })
    };
    let last = memory().saturating_sub(one.len() + other.len());
    (1..last).any(|at| begins(at, one) && begins(at + one.len(), other))
}
