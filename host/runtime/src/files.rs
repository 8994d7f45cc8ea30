//! Component files: uploads by digest, which are authoritative, and compiled code, which can be rebuilt. Files
//! are written atomically by renaming.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use moxxy_system::directory;
use moxxy_types::{
    digest::{self, Digest},
    error::{Error, Result},
};
use tempfile::{NamedTempFile, TempPath};
use wasmtime::{Engine, component::Component};

use super::describe::rejected;
use crate::precompiled;

#[derive(Debug)]
pub(crate) struct Files {
    uploads: PathBuf,
    compiled: PathBuf,
    /// Whether the cache lies in the data directory. Otherwise other servers may share it, and nothing is
    /// removed from it.
    cache_is_own: bool,
    key: [u8; 32],
}

impl Files {
    /// Opens the directories. `uploads` belongs to a data directory; servers with the same key may share
    /// `cache`.
    pub(crate) fn open(home: &Path, cache: &Path, engine: &Engine, key: [u8; 32]) -> Result<Self> {
        let uploads = uploads(home);
        let compiled = cache.join(compatibility_hash(engine));
        for directory in [&uploads, &compiled] {
            directory::make_private(directory).map_err(|e| {
                Error::conflict("data_unusable", format!("Cannot make the directory {}: {e}", directory.display()))
            })?;
        }
        Ok(Self { uploads, compiled, cache_is_own: cache.starts_with(home), key })
    }

    /// Writes an upload to a temporary file, which is removed unless it is kept.
    pub(crate) fn write_temporary_upload(&self, upload: &[u8]) -> Result<TempPath> {
        use io::Write as _;
        let mut file = NamedTempFile::new_in(&self.uploads).map_err(Error::from_write_error)?;
        file.write_all(upload).and_then(|()| file.as_file().sync_all()).map_err(Error::from_write_error)?;
        Ok(file.into_temp_path())
    }

    pub(crate) fn store_upload(&self, upload: TempPath, digest: &Digest) -> Result<()> {
        upload.persist(self.upload(digest)).map_err(|e| Error::from_write_error(e.error))?;
        sync(&self.uploads)
    }

    /// Returns the path of an upload after verifying its digest.
    pub(crate) fn verified_upload(&self, digest: &Digest) -> Result<PathBuf> {
        let path = self.upload(digest);
        let bytes = fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => unusable_upload(digest, "is gone"),
            _ => unreadable(&error),
        })?;
        if Digest::compute(&bytes) != *digest {
            return Err(unusable_upload(digest, "was changed on disk"));
        }
        Ok(path)
    }

    /// Creates a temporary file for compiled code.
    pub(crate) fn create_compiled_file(&self) -> Result<TempPath> {
        NamedTempFile::new_in(&self.compiled).map(NamedTempFile::into_temp_path).map_err(Error::from_write_error)
    }

    /// Seals compiled code and moves it into place.
    pub(crate) fn store_compiled(&self, code: TempPath, digest: &Digest) -> Result<()> {
        use io::Write as _;
        let seal = precompiled::seal(&code, &self.key, digest.as_str()).map_err(Error::from_write_error)?;
        let mut file = NamedTempFile::new_in(&self.compiled).map_err(Error::from_write_error)?;
        file.write_all(&seal).and_then(|()| file.as_file().sync_all()).map_err(Error::from_write_error)?;
        let (code_path, seal_path) = self.compiled_paths(digest);
        fs::File::open(&code).and_then(|file| file.sync_all()).map_err(Error::from_write_error)?;
        // The seal first: code without a matching seal is recompiled, never run.
        file.persist(seal_path).map_err(|e| Error::from_write_error(e.error))?;
        code.persist(code_path).map_err(|e| Error::from_write_error(e.error))?;
        sync(&self.compiled)
    }

    /// Loads compiled code. Returns `None` if it is missing, or if this server did not seal it.
    pub(crate) fn load(&self, engine: &Engine, digest: &Digest) -> Result<Option<Component>> {
        let (code, seal) = self.compiled_paths(digest);
        let loaded =
            fs::read(seal).and_then(|seal| precompiled::load(engine, &code, &self.key, digest.as_str(), &seal));
        match loaded {
            Ok(Some(Ok(component))) => Ok(Some(component)),
            Ok(Some(Err(error))) => match error.root_cause().downcast_ref::<io::Error>() {
                Some(error) => Err(unreadable(error)),
                None => Err(rejected(format!("It does not fit this server: {}", error.root_cause()))),
            },
            Ok(None) => {
                tracing::warn!(%digest, "compiled code was changed on disk; compiling again");
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(&error)),
        }
    }

    /// Removes the files of a component.
    pub(crate) fn remove(&self, digest: &Digest) {
        // Ignore errors: the file may be missing, and leftovers are swept at the next start.
        drop(fs::remove_file(self.upload(digest)));
        self.remove_compiled(digest);
    }

    /// Removes compiled code. It can be rebuilt.
    pub(crate) fn remove_compiled(&self, digest: &Digest) {
        if self.cache_is_own {
            let (code, seal) = self.compiled_paths(digest);
            drop(fs::remove_file(code));
            drop(fs::remove_file(seal));
        }
    }

    /// Removes leftover files of a crash, which belong to no component.
    pub(crate) fn sweep(&self, known: &HashSet<&Digest>) {
        let known: HashSet<_> = known.iter().map(|digest| digest.hex()).collect();
        sweep(&self.uploads, &known);
        if self.cache_is_own {
            sweep(&self.compiled, &known);
        }
    }

    fn upload(&self, digest: &Digest) -> PathBuf {
        upload_path(&self.uploads, digest)
    }

    fn compiled_paths(&self, digest: &Digest) -> (PathBuf, PathBuf) {
        let file = |extension| self.compiled.join(format!("{}.{extension}", digest.hex()));
        (file("cwasm"), file("seal"))
    }
}

/// Returns the path of an upload in a data directory.
pub fn upload(home: &Path, digest: &Digest) -> PathBuf {
    upload_path(&uploads(home), digest)
}

/// Whether a data directory has any upload.
pub fn has_uploads(home: &Path) -> bool {
    fs::read_dir(uploads(home)).is_ok_and(|mut entries| entries.any(|entry| entry.is_ok()))
}

fn uploads(home: &Path) -> PathBuf {
    home.join("components").join("sha256")
}

fn upload_path(uploads: &Path, digest: &Digest) -> PathBuf {
    uploads.join(format!("{}.wasm", digest.hex()))
}

/// Removes files whose stem is not a known digest.
fn sweep(directory: &Path, known: &HashSet<&str>) {
    for path in fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if !path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| known.contains(stem)) {
            drop(fs::remove_file(path));
        }
    }
}

/// Hash of everything that compiled code depends on, except the component.
fn compatibility_hash(engine: &Engine) -> String {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let settings = hasher.finish().to_le_bytes();
    hex::encode(digest::sha256(&settings)).chars().take(16).collect()
}

fn sync(directory: &Path) -> Result<()> {
    directory::sync(directory).map_err(Error::from_write_error)
}

/// Error for a temporary problem, such as too few open files or too little memory. The component itself is
/// fine.
fn unreadable(error: &io::Error) -> Error {
    Error::unavailable("component_unavailable", format!("its files cannot be read now: {error}"))
}

fn unusable_upload(digest: &Digest, why: &str) -> Error {
    Error::conflict("component_unusable", format!("its upload, {digest}, {why}; install it again"))
}
