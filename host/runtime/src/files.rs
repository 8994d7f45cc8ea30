//! Components on disk: uploads by digest, which are the truth, and compiled code, which can be
//! made again. Files appear whole, by renaming, or not at all.

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

use super::rejected;
use crate::precompiled;

#[derive(Debug)]
pub struct Files {
    uploads: PathBuf,
    compiled: PathBuf,
    /// A cache outside the data directory may be shared with other servers: nothing is removed
    /// from it.
    cache_is_own: bool,
    key: [u8; 32],
}

impl Files {
    /// `uploads` belongs to a data directory; `cache` may be shared by servers with one key.
    pub fn open(home: &Path, cache: &Path, engine: &Engine, key: [u8; 32]) -> Result<Self> {
        let uploads = uploads(home);
        let compiled = cache.join(compatibility(engine));
        for directory in [&uploads, &compiled] {
            directory::make_private(directory).map_err(|e| {
                Error::conflict("data_unusable", format!("Cannot make the directory {}: {e}", directory.display()))
            })?;
        }
        Ok(Self { uploads, compiled, cache_is_own: cache.starts_with(home), key })
    }

    /// Writes an upload under a temporary name that goes away unless it is kept.
    pub fn receive(&self, upload: &[u8]) -> Result<TempPath> {
        use io::Write as _;
        let mut file = NamedTempFile::new_in(&self.uploads).map_err(Error::from_write_error)?;
        file.write_all(upload).and_then(|()| file.as_file().sync_all()).map_err(Error::from_write_error)?;
        Ok(file.into_temp_path())
    }

    pub fn keep(&self, upload: TempPath, digest: &Digest) -> Result<()> {
        upload.persist(self.upload(digest)).map_err(|e| Error::from_write_error(e.error))?;
        sync(&self.uploads)
    }

    /// The path of an upload, after checking that it still is what it was.
    pub fn verified(&self, digest: &Digest) -> Result<PathBuf> {
        let path = self.upload(digest);
        let bytes = fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => broken(digest, "is gone"),
            _ => unreadable(&error),
        })?;
        if Digest::of(&bytes) != *digest {
            return Err(broken(digest, "was changed on disk"));
        }
        Ok(path)
    }

    /// A temporary name for compiled code.
    pub fn compiling(&self) -> Result<TempPath> {
        NamedTempFile::new_in(&self.compiled).map(NamedTempFile::into_temp_path).map_err(Error::from_write_error)
    }

    /// Seals compiled code and puts it in its place.
    pub fn keep_compiled(&self, code: TempPath, digest: &Digest) -> Result<()> {
        use io::Write as _;
        let seal = precompiled::seal(&code, &self.key, digest.as_str()).map_err(Error::from_write_error)?;
        let mut file = NamedTempFile::new_in(&self.compiled).map_err(Error::from_write_error)?;
        file.write_all(&seal).and_then(|()| file.as_file().sync_all()).map_err(Error::from_write_error)?;
        let (code_path, seal_path) = self.code(digest);
        fs::File::open(&code).and_then(|file| file.sync_all()).map_err(Error::from_write_error)?;
        // The seal first: code without its seal is compiled again, never run.
        file.persist(seal_path).map_err(|e| Error::from_write_error(e.error))?;
        code.persist(code_path).map_err(|e| Error::from_write_error(e.error))?;
        sync(&self.compiled)
    }

    /// Loads compiled code; `None` if it is not there, or not what this server sealed.
    pub fn load(&self, engine: &Engine, digest: &Digest) -> Result<Option<Component>> {
        let (code, seal) = self.code(digest);
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

    /// Removes what belongs to a component.
    pub fn remove(&self, digest: &Digest) {
        // A file that is not there needs no removal, and one that stays is swept at start.
        drop(fs::remove_file(self.upload(digest)));
        self.remove_compiled(digest);
    }

    /// Removes compiled code, which can be made again.
    pub fn remove_compiled(&self, digest: &Digest) {
        if self.cache_is_own {
            let (code, seal) = self.code(digest);
            drop(fs::remove_file(code));
            drop(fs::remove_file(seal));
        }
    }

    /// Removes what belongs to no component: what a crash left behind.
    pub fn sweep(&self, known: &HashSet<&Digest>) {
        let known: HashSet<_> = known.iter().map(|digest| digest.hex()).collect();
        sweep(&self.uploads, &known);
        if self.cache_is_own {
            sweep(&self.compiled, &known);
        }
    }

    fn upload(&self, digest: &Digest) -> PathBuf {
        within(&self.uploads, digest)
    }

    fn code(&self, digest: &Digest) -> (PathBuf, PathBuf) {
        let file = |extension| self.compiled.join(format!("{}.{extension}", digest.hex()));
        (file("cwasm"), file("seal"))
    }
}

/// Where a data directory keeps an upload.
pub fn upload(home: &Path, digest: &Digest) -> PathBuf {
    within(&uploads(home), digest)
}

fn uploads(home: &Path) -> PathBuf {
    home.join("components").join("sha256")
}

fn within(uploads: &Path, digest: &Digest) -> PathBuf {
    uploads.join(format!("{}.wasm", digest.hex()))
}

/// Removes the files whose stem is no known digest.
fn sweep(directory: &Path, known: &HashSet<&str>) {
    for path in fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if !path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| known.contains(stem)) {
            drop(fs::remove_file(path));
        }
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

fn sync(directory: &Path) -> Result<()> {
    directory::sync(directory).map_err(Error::from_write_error)
}

/// For want of open files or of memory, say: nothing is wrong with the component.
fn unreadable(error: &io::Error) -> Error {
    Error::unavailable("component_unavailable", format!("its files cannot be read now: {error}"))
}

fn broken(digest: &Digest, why: &str) -> Error {
    Error::conflict("component_unusable", format!("its upload, {digest}, {why}; install it again"))
}
