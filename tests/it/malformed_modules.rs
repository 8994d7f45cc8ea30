//! Skills written as WebAssembly text, which no compiler would produce. Each is valid except for the parts that a
//! test inserts. It is uploaded as a core module, which the host wraps.

use std::path::Path;

use wit_component::StringEncoding;
use wit_parser::Resolve;

/// Addresses of the values that the exports return, by the canonical ABI.
const MANIFEST: usize = 1024;
const MANIFEST_SIZE: usize = 104;
const TOOLS: usize = MANIFEST + MANIFEST_SIZE;
const TOOL: usize = TOOLS + 8;
const OUTPUT: usize = TOOL + 28;
const TEXTS: usize = OUTPUT + 20;
/// Address of every value from the host. The values overwrite each other: no attack reads them.
const SCRATCH: usize = 64 * 1024;
/// Size of the memory, in pages of 64 KiB: room for scratch values of up to 64 KiB.
const PAGES: u32 = 3;

/// A loop that never ends.
pub(crate) const SPIN: &str = "(loop $spin (br $spin))";

/// Skill with one tool, `go`.
pub(crate) struct Crafted {
    name: &'static str,
    wit: (&'static str, &'static str),
    imports: &'static str,
    pages: u32,
    fields: String,
    realloc: &'static str,
    list_tools: String,
    call: String,
}

impl Crafted {
    /// Creates a skill that does nothing wrong.
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            wit: ("", ""),
            imports: "",
            pages: PAGES,
            fields: String::new(),
            realloc: "",
            list_tools: String::new(),
            call: String::new(),
        }
    }

    /// Creates a skill with its own resource, whose destructor has this body.
    pub(crate) fn with_resource(name: &'static str, destructor: &str) -> Self {
        Self::new(name)
            .wit("export things;", "interface things { resource thing; }")
            .imports(
                r#"(import "[export]crafted:skill/things" "[resource-new]thing" (func $new (param i32) (result i32)))
                (import "[export]crafted:skill/things" "[resource-drop]thing" (func $drop (param i32)))"#,
            )
            .fields(format!(r#"(func (export "crafted:skill/things#[dtor]thing") (param i32) {destructor})"#))
    }

    /// Creates a skill that can wait.
    pub(crate) fn with_timers(name: &'static str) -> Self {
        Self::new(name)
            .wit(
                "import wasi:clocks/monotonic-clock@0.2.0;",
                "package wasi:io@0.2.0 { interface poll { resource pollable { block: func(); } } }
                package wasi:clocks@0.2.0 { interface monotonic-clock {
                    use wasi:io/poll@0.2.0.{pollable};
                    subscribe-duration: func(when: u64) -> pollable;
                } }",
            )
            .imports(
                r#"(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration"
                    (func $timer (param i64) (result i32)))
                (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#,
            )
    }

    /// Sets the additional items of its world, and the packages that define them.
    pub(crate) fn wit(self, items: &'static str, packages: &'static str) -> Self {
        Self { wit: (items, packages), ..self }
    }

    /// Sets the core module's imports.
    pub(crate) fn imports(self, imports: &'static str) -> Self {
        Self { imports, ..self }
    }

    /// Sets the size of its memory, in pages of 64 KiB.
    pub(crate) fn pages(self, pages: u32) -> Self {
        Self { pages, ..self }
    }

    /// Sets additional functions, memories, tables and the like.
    pub(crate) fn fields(self, fields: impl Into<String>) -> Self {
        Self { fields: fields.into(), ..self }
    }

    /// Sets the code that `cabi_realloc` runs before it returns the address for a value from the host.
    pub(crate) fn realloc(self, realloc: &'static str) -> Self {
        Self { realloc, ..self }
    }

    /// Sets the code that `list-tools` runs before it lists the tool. It has a local, `$i`.
    pub(crate) fn list_tools(self, body: impl Into<String>) -> Self {
        Self { list_tools: body.into(), ..self }
    }

    /// Sets the code that `call` runs before it answers. It has the locals `$i` and `$handle`.
    pub(crate) fn call(self, body: impl Into<String>) -> Self {
        Self { call: body.into(), ..self }
    }

    /// Sets a tool that repeats `body` forever.
    pub(crate) fn forever(self, body: &str) -> Self {
        self.call(format!("(loop $more {body} (br $more))"))
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the core module, with the metadata that describes it.
    pub(crate) fn module(&self) -> Vec<u8> {
        let mut module = wat::parse_str(self.text()).unwrap();
        let mut resolve = Resolve::default();
        resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")).unwrap();
        let (items, packages) = self.wit;
        let wit =
            format!("package crafted:skill; world crafted {{ include moxxy:plugin/skill@0.2.0; {items} }} {packages}");
        let package = resolve.push_str("crafted.wit", &wit).unwrap();
        let world = resolve.select_world(&[package], Some("crafted")).unwrap();
        wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        module
    }

    fn text(&self) -> String {
        let Self { imports, pages, fields, realloc, list_tools, call, .. } = self;
        let data: String = self.data().iter().map(|byte| format!("\\{byte:02x}")).collect();
        format!(
            r#"(module {imports}
                (memory (export "memory") {pages})
                (data (i32.const {MANIFEST}) "{data}")
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc} (i32.const {SCRATCH}))
                (func (export "moxxy:plugin/plugin@0.2.0#get-manifest") (result i32) (i32.const {MANIFEST}))
                (func (export "moxxy:plugin/tools@0.2.0#list-tools") (result i32) (local $i i32) {list_tools} (i32.const {TOOLS}))
                (func (export "moxxy:plugin/tools@0.2.0#call") (param i32 i32 i32 i32) (result i32) (local $i i32) (local $handle i32) {call} (i32.const {OUTPUT}))
                {fields})"#
        )
    }

    /// Returns the memory from `MANIFEST` on: a manifest that requests nothing, a list of one tool, and an
    /// output.
    fn data(&self) -> Vec<u8> {
        let mut data = vec![0; TEXTS - MANIFEST];
        let texts = [
            (MANIFEST, self.name),
            (MANIFEST + 8, "1.0.0"),
            (MANIFEST + 16, "Misbehaves on purpose."),
            (TOOL, "go"),
            (TOOL + 8, "Misbehaves."),
            (TOOL + 16, r#"{"type":"object"}"#),
            // After the discriminant, which is 0 for a success.
            (OUTPUT + 4, "harmless"),
            (OUTPUT + 12, "text/plain"),
        ];
        for (at, text) in texts {
            let address = MANIFEST + data.len();
            data.extend(text.bytes());
            put(&mut data, at, address);
            put(&mut data, at + 4, text.len());
        }
        put(&mut data, TOOLS, TOOL);
        put(&mut data, TOOLS + 4, 1);
        data
    }
}

fn put(data: &mut [u8], at: usize, value: usize) {
    let at = at - MANIFEST;
    data[at..at + 4].copy_from_slice(&u32::try_from(value).unwrap().to_le_bytes());
}
