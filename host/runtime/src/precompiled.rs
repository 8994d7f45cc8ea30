//! Maps precompiled code into the process, the one place outside generated bindings with
//! `unsafe`.
//!
//! Contract: wasmtime runs whatever such a file holds as native code. So [`load`] takes only a
//! file whose keyed hash, under a key that never leaves this server, was verified over the very
//! file that is then mapped; the file was written by our own compiling process; and it is never
//! changed in place but replaced by renaming, in a directory that only the server's user can
//! write to.
#![expect(unsafe_code, reason = "loading precompiled code is a promise about a file's content")]

use std::{fs::File, io, io::Read as _, os::fd::AsRawFd as _, path::Path};

use hmac::Mac as _;
use moxxy_types::digest::{self, Hmac256};
use wasmtime::{Engine, component::Component};

/// Loads a precompiled component if `seal` is the hash of the file and its `name` under `key`;
/// `None` when it was changed. The inner error says why the engine does not take it.
pub fn load(
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
    // The same open file, not the same path: a file renamed over it meanwhile is not looked at.
    let open = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: the contract above; the hash was just verified over this file.
    Ok(Some(unsafe { Component::deserialize_file(engine, open) }))
}

/// Computes the seal of a precompiled file.
pub fn seal(path: &Path, key: &[u8; 32], name: &str) -> io::Result<Vec<u8>> {
    let hash = hash(&mut File::open(path)?, key, name)?;
    Ok(hash.finalize().into_bytes().to_vec())
}

fn hash(file: &mut File, key: &[u8; 32], name: &str) -> io::Result<Hmac256> {
    let mut hash = digest::keyed(key);
    hash.update(name.as_bytes());
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash),
            read => hash.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}
