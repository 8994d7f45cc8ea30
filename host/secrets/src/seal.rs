//! Sealing of stored secrets: XChaCha20-Poly1305 with a key for each record, derived from the master key by
//! HKDF-SHA-256 (RFC 5869). A sealed value is bound to its row, so that it cannot be opened in another row.

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use hkdf::Hkdf;
use moxxy_types::{
    error::{Error, Result},
    ids,
    secrets::{NONCE_BYTES, Sealed},
};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::MasterKey;

/// The row that a value is sealed for.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub version: i64,
}

impl Row<'_> {
    fn bytes(&self) -> Vec<u8> {
        // Unambiguous, because neither an id nor a name contains a zero byte.
        format!("secrets\0{}\0{}\0{}", self.id, self.name, self.version).into_bytes()
    }
}

impl<'a> From<&'a Sealed> for Row<'a> {
    fn from(sealed: &'a Sealed) -> Self {
        Self { id: sealed.id.as_str(), name: sealed.name.as_str(), version: sealed.version }
    }
}

/// Returns the nonce followed by the sealed value.
pub fn seal(master: &MasterKey, row: Row<'_>, value: &[u8]) -> Result<Vec<u8>> {
    let nonce: [u8; NONCE_BYTES] = ids::random()?;
    let payload = Payload { msg: value, aad: &row.bytes() };
    let sealed =
        cipher(master, &nonce, row)?.encrypt(&nonce.into(), payload).map_err(|_| Error::internal("sealing"))?;
    Ok([nonce.as_slice(), &sealed].concat())
}

/// Returns the value. Fails unless the key and the row are those that it was sealed for.
pub fn open(master: &MasterKey, row: Row<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let broken = || Error::internal(format!("the secret {} cannot be opened: its row was changed", row.id));
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or_else(broken)?;
    let payload = Payload { msg: sealed, aad: &row.bytes() };
    let value = cipher(master, nonce, row)?.decrypt(&XNonce::from(*nonce), payload).map_err(|_| broken())?;
    Ok(Zeroizing::new(value))
}

fn cipher(master: &MasterKey, nonce: &[u8; NONCE_BYTES], row: Row<'_>) -> Result<XChaCha20Poly1305> {
    let mut key = Zeroizing::new([0; 32]);
    let info = [b"moxxy vault 1\0", row.id.as_bytes()];
    let derived = Hkdf::<Sha256>::new(Some(nonce), master.bytes()).expand_multi_info(&info, &mut *key);
    derived.map_err(|_| Error::internal("a key of 32 bytes is too long"))?;
    Ok(XChaCha20Poly1305::new((&*key).into()))
}
