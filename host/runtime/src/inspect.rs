//! Inspects an upload: determines its format, world and imports, and wraps a core module into a component. Runs
//! in the compiling process, because the upload is untrusted.

use moxxy_types::components::World;
use wasmparser::{Encoding, Parser, Payload};
use wit_component::ComponentEncoder;

use super::imports;

/// Versions of the interfaces that the host loads.
const VERSIONS: [&str; 2] = ["0.1.0", "0.2.0"];

/// Converts an upload into a component of a known world whose imports are all available. The error is a
/// sentence for its author.
pub fn component(upload: Vec<u8>) -> Result<Vec<u8>, String> {
    let component = match encoding(&upload)? {
        Encoding::Component => upload,
        Encoding::Module => wrap_module(&upload)?,
    };
    let (imports, exports) = interfaces(&component)?;
    let world = world(&exports)?;
    check_version(imports.iter().chain(&exports))?;
    match imports.iter().find(|import| !imports::is_offered(import)) {
        Some(unknown) => Err(format!(
            "It imports `{unknown}`, which Moxxy does not offer. Build it against the world \
             `moxxy:plugin/{}` and WASI 0.2",
            world.into_str()
        )),
        None => Ok(component),
    }
}

/// Returns the world of a component, or `None` if it is not Moxxy's.
pub fn world_of(component: &[u8]) -> Option<World> {
    let (_, exports) = interfaces(component).ok()?;
    world(&exports).ok()
}

fn encoding(bytes: &[u8]) -> Result<Encoding, String> {
    match Parser::new(0).parse_all(bytes).next() {
        Some(Ok(Payload::Version { encoding, .. })) => Ok(encoding),
        _ => Err(format!("It is not WebAssembly but {}. {BUILD_HINT}", guess_file_type(bytes))),
    }
}

/// How to build a component.
const BUILD_HINT: &str = "A component is wanted, a `.wasm` file: `moxxy build` makes one in the folder of a Rust \
                          crate, `componentize-py` of Python, `componentize-js` of JavaScript";

/// Guesses the type of a file that is not WebAssembly.
fn guess_file_type(bytes: &[u8]) -> &'static str {
    let start = bytes.get(..512).unwrap_or(bytes).trim_ascii_start();
    match start {
        [] => "empty",
        [b'\0', b'a', b's', b'm', ..] => "the beginning of it, or of a version that is not known",
        [0x1f, 0x8b, ..] => "a gzip archive",
        [b'P', b'K', 3, 4, ..] => "a zip archive",
        [b'<', ..] => "a page of HTML or XML, perhaps one that a download showed instead",
        [b'(', ..] => "its text format, which `wasm-tools parse` turns into binary",
        _ if start.iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace()) => "a text",
        _ => "a file of another kind",
    }
}

fn wrap_module(module: &[u8]) -> Result<Vec<u8>, String> {
    let described = custom_sections(module)?.iter().any(|name| name.starts_with("component-type"));
    if !described {
        return Err("It is a core module, not a component, and without the component-type metadata of which one \
                    could be made. Of a Rust crate `moxxy build` makes a component; otherwise build for \
                    wasm32-wasip2, or for wasm32-unknown-unknown with bindings generated from Moxxy's WIT"
            .into());
    }
    let mut encoder = ComponentEncoder::default();
    let wrapped = encoder.validate(true).module(module).and_then(|encoder| encoder.encode());
    wrapped.map_err(|e| format!("The core module cannot be wrapped into a component: {e:#}"))
}

fn custom_sections(module: &[u8]) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::CustomSection(section) = payload.map_err(|e| damaged(&e))? {
            names.push(section.name().to_owned());
        }
    }
    Ok(names)
}

/// Returns the names of the component's own imports and exports, without those of nested components.
fn interfaces(component: &[u8]) -> Result<(Vec<String>, Vec<String>), String> {
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0_usize);
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(|e| damaged(&e))? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import.map_err(|e| damaged(&e))?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export.map_err(|e| damaged(&e))?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

fn world(exports: &[String]) -> Result<World, String> {
    let has = |interface: &str| exports.iter().any(|export| export.split('@').next() == Some(interface));
    let missing = |interface: &str| {
        Err(format!("It exports {} but not `{interface}`: build it against Moxxy's WIT", list_exports(exports)))
    };
    match (has("moxxy:plugin/tools"), has("moxxy:plugin/models")) {
        (true, true) => Err("It exports both tools and models; a component is of one world".into()),
        _ if has("moxxy:plugin/chat") => Err("It is a channel; this version loads skills and providers only".into()),
        (false, false) => Err(format!(
            "It is of no world that Moxxy knows: it exports {}; a skill exports `moxxy:plugin/tools`, \
             a provider `moxxy:plugin/models`",
            list_exports(exports)
        )),
        _ if !has("moxxy:plugin/plugin") => missing("moxxy:plugin/plugin"),
        (true, false) => Ok(World::Skill),
        (false, true) => Ok(World::Provider),
    }
}

/// Returns an error if an interface of Moxxy has a version that the host does not load.
fn check_version<'n>(mut names: impl Iterator<Item = &'n String>) -> Result<(), String> {
    let version = |name: &&'n String| Some(name.strip_prefix("moxxy:plugin/")?.split_once('@')?.1);
    match names.by_ref().filter_map(|name| version(&name)).find(|version| !VERSIONS.contains(version)) {
        Some(other) => Err(format!(
            "It was built for version {other} of Moxxy's interfaces, and this server loads {}: build it again with the \
             SDK or the WIT of this server's version",
            VERSIONS.join(" and ")
        )),
        None => Ok(()),
    }
}

fn list_exports(exports: &[String]) -> String {
    let names: Vec<_> = exports.iter().take(8).map(|export| format!("`{export}`")).collect();
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

fn damaged(error: &wasmparser::BinaryReaderError) -> String {
    format!("It is damaged or cut off: {error}")
}
