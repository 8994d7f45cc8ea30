//! Hash chain of the audit log. Each entry's hash is HMAC-SHA-256 over the previous hash and the entry. The key
//! derives from the master key. Without the key, nobody can change, insert, move or delete entries unnoticed.
//! The ends of the chain have their own hash, which detects truncation.

use std::{fmt, iter::Peekable, vec::IntoIter};

use hmac::Mac as _;
use moxxy_types::{
    audit::{Entry, Head},
    digest::{self, Hmac256},
};
use zeroize::Zeroizing;

/// Length of keys and hashes, in bytes.
pub(super) const HASH_BYTES: usize = 32;
/// Hash that precedes the first entry.
const GENESIS_HASH: Hash = Hash([0; HASH_BYTES]);

/// HMAC key of a chain.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; HASH_BYTES]>);

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash(pub [u8; HASH_BYTES]);

/// First and last position of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// Position of the last entry that retention removed, or 0.
    pub pruned: i64,
    pub pruned_hash: Hash,
    /// Position of the newest entry.
    pub last: i64,
    pub last_hash: Hash,
    /// Position of the first entry after tampering with these ends was detected, or 0. [`Ends::PREDATES_LOG`] if the
    /// database is older than its audit log.
    pub broken: i64,
}

/// Verifies entries in order, each against the previous one.
#[derive(Debug)]
pub struct ChainVerifier {
    keys: Peekable<IntoIter<(i64, Key)>>,
    key: Key,
    /// Position and hash of the last entry read, initially those that the first entry must follow. The hash is
    /// `None` if unknown.
    pub last: i64,
    pub hash: Option<Hash>,
}

/// Result of verifying one entry.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Whether its position directly follows the previous one.
    pub follows: bool,
    /// Whether its hash is correct. Always true after a gap, where the previous hash is unknown.
    pub fits: bool,
}

impl ChainVerifier {
    /// Starts at the beginning of the chain. Each of `keys` comes with the position of its first entry; `key`
    /// applies to earlier entries.
    pub fn new(keys: Vec<(i64, Key)>, key: Key, ends: &Ends) -> Self {
        Self { keys: keys.into_iter().peekable(), key, last: ends.pruned, hash: Some(ends.pruned_hash) }
    }

    pub fn verify(&mut self, entry: &Entry, hash: Option<Hash>) -> Step {
        while let Some((_, key)) = self.keys.next_if(|(first, _)| *first <= entry.position) {
            self.key = key;
        }
        let follows = entry.position == self.last + 1;
        let before = self.hash.filter(|_| follows);
        let fits = before.is_none_or(|before| Some(self.key.link(&before, entry)) == hash);
        (self.last, self.hash) = (entry.position, hash);
        Step { follows, fits }
    }

    /// Returns the newest key. It signs the ends, even if no entry uses it yet.
    pub fn newest(&mut self) -> &Key {
        if let Some((_, key)) = self.keys.by_ref().last() {
            self.key = key;
        }
        &self.key
    }
}

impl Key {
    pub fn new(bytes: [u8; HASH_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub fn bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }

    /// Returns the hash of an entry that follows the hash `before`.
    pub fn link(&self, before: &Hash, entry: &Entry) -> Hash {
        let mut mac = digest::new_hmac(&self.0);
        mac.update(b"moxxy audit entry 1\0");
        mac.update(&before.0);
        mac.update(&entry.position.to_be_bytes());
        for field in [&entry.timestamp, &entry.actor, &entry.event_type] {
            update_with_length(&mut mac, Some(field));
        }
        update_with_length(&mut mac, entry.agent_id.as_deref());
        update_with_length(&mut mac, entry.run_id.as_deref());
        update_with_length(&mut mac, Some(entry.payload.get()));
        finalize(mac)
    }

    /// Returns the hash of the ends.
    pub fn close(&self, ends: &Ends) -> Hash {
        let mut mac = digest::new_hmac(&self.0);
        mac.update(b"moxxy audit ends 1\0");
        for (position, hash) in [(ends.pruned, &ends.pruned_hash), (ends.last, &ends.last_hash)] {
            mac.update(&position.to_be_bytes());
            mac.update(&hash.0);
        }
        mac.update(&ends.broken.to_be_bytes());
        finalize(mac)
    }
}

/// Hashes a field prefixed with its length, so that different entries never hash the same bytes.
fn update_with_length(mac: &mut Hmac256, field: Option<&str>) {
    let length = field.map_or(u64::MAX, |field| field.len() as u64);
    mac.update(&length.to_be_bytes());
    mac.update(field.unwrap_or_default().as_bytes());
}

fn finalize(mac: Hmac256) -> Hash {
    Hash(mac.finalize().into_bytes().into())
}

impl Ends {
    pub const PREDATES_LOG: i64 = -1;

    /// Returns these ends, marked as tampered with.
    pub fn broken(self) -> Self {
        let broken = if self.broken > 0 { self.broken } else { self.last + 1 };
        Self { broken, ..self }
    }
}

impl From<&Ends> for Head {
    fn from(ends: &Ends) -> Self {
        Self { position: ends.last, hash: ends.last_hash.to_string() }
    }
}

impl Default for Ends {
    fn default() -> Self {
        Self { pruned: 0, pruned_hash: GENESIS_HASH, last: 0, last_hash: GENESIS_HASH, broken: 0 }
    }
}

impl Hash {
    /// Returns `None` if the length is wrong.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}
