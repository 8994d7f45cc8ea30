//! Maps precompiled code into the process. This is the only use of `unsafe` outside generated bindings.
//!
//! Contract: wasmtime runs the content of such a file as native code. Therefore [`load`] accepts a file only if
//! its keyed hash is correct, under a key that never leaves this server. The hash is verified on the same open
//! file that is then mapped. The file was written by our own compiling process. It is never changed in place
//! but replaced by renaming, in a directory that only the server's user can write to.
#![expect(unsafe_code, reason = "loading precompiled code is a promise about a file's content")]

use std::{fs::File, io, io::Read as _, os::fd::AsRawFd as _, path::Path};

use hmac::Mac as _;
use moxxy_types::digest::{self, Hmac256};
use wasmtime::{Engine, component::Component};

/// Loads a precompiled component if `seal` is the hash of the file and its `name` under `key`. Returns `None`
/// if the file was changed. The inner error is the engine's reason for rejecting it.
pub(crate) fn load(
    engine: &Engine,
    path: &Path,
    key: &[u8; 32],
    name: &str,
    seal: &[u8],
) -> io::Result<Option<wasmtime::Result<Component>>> {
    let mut file = File::open(path)?;
    if hash(&mut file, key, name)?.verify_slice(seal).is_err() {
        return Ok(None);
    }
    // Open the same file descriptor, not the path, in case another file was renamed over it.
    let open = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: see the contract above; the hash of this file was just verified.
    Ok(Some(unsafe { Component::deserialize_file(engine, open) }))
}

/// Returns the seal of a precompiled file.
pub(crate) fn seal(path: &Path, key: &[u8; 32], name: &str) -> io::Result<Vec<u8>> {
    let hash = hash(&mut File::open(path)?, key, name)?;
    Ok(hash.finalize().into_bytes().to_vec())
}

fn hash(file: &mut File, key: &[u8; 32], name: &str) -> io::Result<Hmac256> {
    let mut hash = digest::new_hmac(key);
    hash.update(name.as_bytes());
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash),
            read => hash.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}
