//! Components on disk: uploads by digest, which are the truth, and compiled code, which can be
//! made again. Files appear whole, by renaming, or not at all.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::{NamedTempFile, TempPath};
use wasmtime::{Engine, component::Component};

use super::load;
use crate::{
    digest::{self, Digest},
    error::{Error, Result},
};

/// The age at which a temporary file is nobody's any more.
const ABANDONED: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub struct Files {
    uploads: PathBuf,
    compiled: PathBuf,
    key: [u8; 32],
}

impl Files {
    /// `uploads` belongs to a data directory; `cache` may be shared by servers with one key.
    pub fn open(home: &Path, cache: &Path, engine: &Engine, key: [u8; 32]) -> Result<Self> {
        let uploads = home.join("components").join("sha256");
        let compiled = cache.join(compatibility(engine));
        for directory in [&uploads, &compiled] {
            make_private(directory).map_err(|e| {
                Error::conflict("data_unusable", format!("Cannot make the directory {}: {e}", directory.display()))
            })?;
        }
        Ok(Self { uploads, compiled, key })
    }

    /// Writes an upload under a temporary name that goes away unless it is kept.
    pub fn receive(&self, upload: &[u8]) -> Result<TempPath> {
        use io::Write as _;
        let mut file = NamedTempFile::new_in(&self.uploads).map_err(Error::internal)?;
        file.write_all(upload).and_then(|()| file.as_file().sync_all()).map_err(Error::internal)?;
        Ok(file.into_temp_path())
    }

    pub fn keep(&self, upload: TempPath, digest: &Digest) -> Result<()> {
        upload.persist(self.upload(digest)).map_err(Error::internal)?;
        sync(&self.uploads)
    }

    /// The path of an upload, after checking that it still is what it was.
    pub fn verified(&self, digest: &Digest) -> Result<PathBuf> {
        let path = self.upload(digest);
        let bytes = fs::read(&path).map_err(|e| broken(&path, &e.to_string()))?;
        if Digest::of(&bytes) != *digest {
            return Err(broken(&path, "it was changed on disk"));
        }
        Ok(path)
    }

    /// A temporary name for compiled code.
    pub fn compiling(&self) -> Result<TempPath> {
        NamedTempFile::new_in(&self.compiled).map(NamedTempFile::into_temp_path).map_err(Error::internal)
    }

    /// Seals compiled code and puts it in its place.
    pub fn keep_compiled(&self, code: TempPath, digest: &Digest) -> Result<()> {
        use io::Write as _;
        let seal = load::seal(&code, &self.key, digest.as_str())
            .ok_or_else(|| Error::internal("compiled code cannot be read back"))?;
        let mut file = NamedTempFile::new_in(&self.compiled).map_err(Error::internal)?;
        file.write_all(&seal).and_then(|()| file.as_file().sync_all()).map_err(Error::internal)?;
        let (code_path, seal_path) = self.code(digest);
        fs::File::open(&code).and_then(|file| file.sync_all()).map_err(Error::internal)?;
        // The seal first: code without its seal is compiled again, never run.
        file.persist(seal_path).map_err(Error::internal)?;
        code.persist(code_path).map_err(Error::internal)?;
        sync(&self.compiled)
    }

    /// Loads compiled code; `None` if it is not there, or not what this server sealed.
    pub fn load(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        let (code, seal) = self.code(digest);
        let seal = fs::read(seal).ok()?;
        let loaded = load::load(engine, &code, &self.key, digest.as_str(), &seal);
        if loaded.is_none() {
            tracing::warn!(%digest, "compiled code is missing or was changed on disk; compiling again");
        }
        loaded
    }

    /// Removes what belongs to a component.
    pub fn remove(&self, digest: &Digest) {
        let (code, seal) = self.code(digest);
        for path in [self.upload(digest), code, seal] {
            // A file that is not there needs no removal, and one that stays is swept at start.
            drop(fs::remove_file(path));
        }
    }

    /// Removes what a crash left behind: uploads that belong to no component.
    pub fn sweep(&self, known: &HashSet<&Digest>) {
        let names: HashSet<_> = known.iter().map(|digest| format!("{}.wasm", digest.hex())).collect();
        for entry in fs::read_dir(&self.uploads).into_iter().flatten().flatten() {
            if !entry.file_name().to_str().is_some_and(|name| names.contains(name)) {
                drop(fs::remove_file(entry.path()));
            }
        }
        // The cache may be shared: what another server is writing now is young.
        for entry in fs::read_dir(&self.compiled).into_iter().flatten().flatten() {
            let temporary = entry.file_name().to_str().is_some_and(|name| name.starts_with(".tmp"));
            let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|time| time.elapsed().ok());
            if temporary && age.is_some_and(|age| age > ABANDONED) {
                drop(fs::remove_file(entry.path()));
            }
        }
    }

    fn upload(&self, digest: &Digest) -> PathBuf {
        self.uploads.join(format!("{}.wasm", digest.hex()))
    }

    fn code(&self, digest: &Digest) -> (PathBuf, PathBuf) {
        let file = |extension| self.compiled.join(format!("{}.{extension}", digest.hex()));
        (file("cwasm"), file("seal"))
    }
}

/// Names everything that compiled code depends on beside the component.
fn compatibility(engine: &Engine) -> String {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let settings = hasher.finish().to_le_bytes();
    hex::encode(digest::sha256(&settings)).chars().take(16).collect()
}

fn make_private(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

fn sync(directory: &Path) -> Result<()> {
    fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(Error::internal)
}

fn broken(path: &Path, why: &str) -> Error {
    Error::conflict("component_unusable", format!("The component {} cannot be used: {why}", path.display()))
}
