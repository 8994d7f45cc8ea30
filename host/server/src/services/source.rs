//! Sources of components: the client, the binary, or a folder of the operator.

use std::{
    collections::HashMap,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use moxxy_runtime as plugins;
use moxxy_types::{
    components::{Description, World},
    digest::Digest,
    error::{Error, Result},
    ids::Name,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Name and bytes of each component that was in `target/components` when the server was built.
const BUNDLED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/bundled.rs"));

/// Where a component comes from.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The component itself.
    #[serde(skip)]
    Upload(Vec<u8>),
    /// The component in base64 (RFC 4648, padded).
    Base64(String),
    /// The name of a component in the binary.
    Bundled(Name),
    /// A file on the server, in one of the configured folders.
    Path(PathBuf),
    /// URL that the server downloads the component from, over HTTPS or from an address in `egress.private`. Requires
    /// `digest`.
    Url(String),
}

/// Returns the digest of the component of the same name in this binary, if it is another one and this server is not
/// older than the component.
pub fn bundled_update(component: &Description) -> Option<Digest> {
    static KNOWN: LazyLock<HashMap<&str, (Option<World>, Digest)>> = LazyLock::new(|| {
        let known = |(name, bytes): &(&'static str, &[u8])| (*name, (plugins::world_of(bytes), Digest::compute(bytes)));
        BUNDLED.iter().map(known).collect()
    });
    let (world, bundled) = KNOWN.get(component.manifest.name.as_str())?;
    if *world != Some(component.world) || *bundled == component.digest {
        return None;
    }
    let version = |text: &str| semver::Version::parse(text).ok();
    // What is bundled has the version of the server.
    let is_newer = version(&component.manifest.version)? > version(env!("CARGO_PKG_VERSION"))?;
    (!is_newer).then(|| bundled.clone())
}

/// Returns the names of the components in the binary, of this world or of all.
fn names(world: Option<World>) -> Vec<&'static str> {
    let fits = |bytes: &[u8]| world.is_none() || plugins::world_of(bytes) == world;
    BUNDLED.iter().filter(|(_, bytes)| fits(bytes)).map(|(name, _)| *name).collect()
}

impl Source {
    /// Returns the component's bytes, at most `limit`. A path must be in one of `folders`. The error for an unknown
    /// name lists the names of `world`, or all.
    pub fn bytes(self, limit: usize, folders: &[PathBuf], world: Option<World>) -> Result<Vec<u8>> {
        let bytes = match self {
            Self::Upload(bytes) => bytes,
            Self::Base64(text) => BASE64
                .decode(text)
                .map_err(|e| Error::invalid_field("component.base64", format!("it is not base64: {e}")))?,
            Self::Bundled(name) => bundled(&name, world)?,
            Self::Path(path) => file(&path, limit, folders)?,
            // Downloaded before.
            Self::Url(_) => return Err(Error::internal("a component that was not downloaded")),
        };
        if bytes.len() > limit {
            let size = bytes.len();
            return Err(Error::too_large(format!("The component has {size} bytes; the limit is {limit}")));
        }
        Ok(bytes)
    }
}

fn bundled(name: &Name, world: Option<World>) -> Result<Vec<u8>> {
    let found = BUNDLED.iter().find(|(bundled, _)| *bundled == name.as_str());
    found.map(|(_, bytes)| bytes.to_vec()).ok_or_else(|| {
        let kind = world.as_ref().map_or("component", World::into_str);
        let reason = format!("no {kind} '{name}' is in this binary; there are: {}", names(world).join(", "));
        Error::invalid_field("component.bundled", reason)
    })
}

fn file(path: &Path, limit: usize, folders: &[PathBuf]) -> Result<Vec<u8>> {
    let refused = |reason: String| Error::invalid_field("component.path", reason);
    let outside = || refused("it is in none of the folders of `plugins.folders`".into());
    // Links and dots are resolved first. A file outside and a missing one get the same error.
    let real = path.canonicalize().map_err(|_| outside())?;
    let inside = folders.iter().filter_map(|folder| folder.canonicalize().ok()).any(|folder| real.starts_with(folder));
    if !inside {
        return Err(outside());
    }
    let unreadable = |e: std::io::Error| refused(format!("it cannot be read: {e}"));
    // Before it is opened, because opening a pipe would wait for its other end.
    if !real.is_file() {
        return Err(refused("it is not a file".into()));
    }
    let mut bytes = Vec::new();
    File::open(&real).map_err(unreadable)?.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Upload(bytes) => write!(f, "Upload({} bytes)", bytes.len()),
            Self::Base64(text) => write!(f, "Base64({} bytes)", text.len()),
            Self::Bundled(name) => write!(f, "Bundled({name})"),
            Self::Path(path) => write!(f, "Path({})", path.display()),
            Self::Url(_) => f.write_str("Url"),
        }
    }
}
